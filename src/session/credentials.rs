//! Writes the credentials of a running client when the library would not.

use whatsapp_rust::client::Client;

/// Writes the credentials as they are, after any save that is under way. The library's own flush does nothing during a
/// save: it counts the credentials as saved once the save has begun.
pub(super) async fn keep(client: &Client) -> wacore::store::error::Result<()> {
    let persistence = client.persistence_manager();
    persistence.backend().save(&persistence.get_device_snapshot().to_serializable()).await
}
