//! The media store: a folder or a bucket for files that Postgres should not hold.

use crate::config::Secret;
use crate::jobs::maintenance::leftovers::Files;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use url::Url;

/// Why the media store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The setting is not the URL of a store.
    #[error(
        "media.store: {0}; accepted is file:///folder, s3://bucket/folder, or nothing, to keep downloads in \
         Postgres"
    )]
    NotAStore(String),
}

/// A folder or a bucket.
#[derive(Debug, Clone)]
pub struct MediaStore {
    store: Arc<dyn ObjectStore>,
    below: Path,
}

impl MediaStore {
    /// Opens the store at `url`, with the options of the crate `object_store` for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(url: &str, options: &BTreeMap<String, Secret>) -> Result<Self, StoreError> {
        // Fails when there is a provider already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let not_a_store = |error: &dyn std::fmt::Display| StoreError::NotAStore(error.to_string());
        let url = Url::parse(url).map_err(|error| not_a_store(&error))?;
        if !matches!(url.scheme(), "file" | "s3") {
            return Err(not_a_store(&format!("{}:// is not a store", url.scheme())));
        }
        // AWS's own variables hold the key in most deployments; the options set here override them.
        let variables = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let options = options.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let options = variables.chain(options).map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, below) = object_store::parse_url_opts(&url, options).map_err(|error| not_a_store(&error))?;
        Ok(Self { store: store.into(), below })
    }

    fn at(&self, path: &str) -> Path {
        path.split('/').fold(self.below.clone(), Path::join)
    }

    /// Writes all of `file` to `path`.
    pub(super) async fn put(&self, path: &str, file: &NamedTempFile) -> object_store::Result<()> {
        let failed = |source: std::io::Error| object_store::Error::Generic { store: "media", source: source.into() };
        let mut from = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
        let mut to = BufWriter::new(self.store.clone(), self.at(path));
        tokio::io::copy(&mut from, &mut to).await.map_err(failed)?;
        to.shutdown().await.map_err(failed)
    }

    /// The bytes at `path`.
    pub(crate) async fn get(
        &self,
        path: &str,
    ) -> object_store::Result<BoxStream<'static, object_store::Result<Bytes>>> {
        Ok(self.store.get(&self.at(path)).await?.into_stream())
    }
}

impl Files for MediaStore {
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            match self.store.delete(&self.at(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt as _;
    use std::io::Write as _;

    const OUTSIDE: &str = "outside the folder";

    /// Names of files that would lead out of the folder if a part of them were decoded or resolved.
    const NAMES: [&str; 14] = [
        "../secret",
        "default/../../secret",
        "default/./../../secret",
        "/secret",
        "../store/../secret",
        "..%2fsecret",
        "..%2Fsecret",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        "default/%2e%2e/%2e%2e/secret",
        "..%252fsecret",
        "%252e%252e/secret",
        "..\\secret",
        "default/received/../../../secret",
    ];

    #[tokio::test]
    async fn r9_no_name_of_a_file_leads_out_of_the_folder() -> Result<(), Box<dyn std::error::Error>> {
        for name in NAMES {
            let whole = tempfile::tempdir()?;
            let secret = whole.path().join("secret");
            std::fs::write(&secret, OUTSIDE)?;
            std::fs::create_dir(whole.path().join("store"))?;
            let store = MediaStore::open(&format!("file://{}/store", whole.path().display()), &BTreeMap::new())?;
            if let Ok(parts) = store.get(name).await {
                let read: Vec<Bytes> = parts.try_collect().await?;
                return Err(format!("{name} was read: {read:?}").into());
            }
            let mut file = NamedTempFile::new()?;
            file.write_all(b"from here")?;
            store.put(name, &file).await?;
            let read: Vec<Bytes> = store.get(name).await?.try_collect().await?;
            assert_eq!(read.concat(), b"from here", "{name}");
            assert_eq!(std::fs::read_to_string(&secret)?, OUTSIDE, "{name} was written");
            store.delete(name).await?;
            assert_eq!(std::fs::read_to_string(&secret)?, OUTSIDE, "{name} was deleted");
            let there: Vec<_> = std::fs::read_dir(whole.path())?.collect::<Result<Vec<_>, _>>()?;
            assert_eq!(there.len(), 2, "{name} made a file outside: {there:?}");
        }
        Ok(())
    }
}
