//! Credentials of a running client, written when the library would not.

use whatsapp_rust::client::Client;

/// Writes the credentials as they are, after any save that is under way. The library's own flush does nothing meanwhile: it
/// takes them for saved as soon as the save has begun.
pub(super) async fn keep(client: &Client) -> wacore::store::error::Result<()> {
    let persistence = client.persistence_manager();
    persistence.backend().save(&persistence.get_device_snapshot().to_serializable()).await
}
