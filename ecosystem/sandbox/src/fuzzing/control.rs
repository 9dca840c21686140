//! The control API.

use std::sync::Arc;

use super::super::control::router;
use super::request::requests;
use super::world::{check, run};

/// Sends requests to the control API, one after the other.
pub fn control(data: &[u8]) {
    run(async |server| {
        let router = router(Arc::clone(&server));
        for request in requests(data, |head, _| head.to_owned()) {
            request.ask(&router).await.check();
        }
        // Fault rules could break the checks.
        server.faults.clear();
        check(&server).await;
    });
}
