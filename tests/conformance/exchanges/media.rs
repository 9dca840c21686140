//! Files: the others download exactly the bytes that one uploads.

use anyhow::{Result, ensure};

use super::super::party::{Draft, Party as _, same};
use super::super::stage::{ALICE, Kind, Stage};
use super::{each_way, is_from};

/// Some thousand bytes that are unique to this upload and no multiple of the cipher's block size.
fn bytes(of: &str) -> Vec<u8> {
    (0_u32..1999).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).chain(of.bytes()).collect()
}

pub(in super::super) async fn image(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        let caption = format!("a picture for {}", to.number());
        let picture = bytes(&caption);
        let id = from.send(to.number(), Draft::image(&picture, &caption)).await?;
        let seen = to.find(&caption, &|message| message.id == id).await?;
        is_from(&seen, from)?;
        ensure!(seen.at("imagemessage.caption") == Some(&caption), "{seen:?}");
        ensure!(to.file(&seen).await? == picture, "{} has other bytes", to.number());
        let mut phone = stage.phone(ALICE).await?;
        let own = phone.find(&caption, &|message| message.id == id).await?;
        same(&seen, &own)?;
        ensure!(phone.file(&own).await? == picture, "the client's own phone has other bytes");
        Ok(())
    })
    .await
}
