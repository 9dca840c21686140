//! How much a worker has in hand, by number and by bytes, and how much more each tenant may have (R9).

use super::OutboundJob;
use super::shares::{TENANT, room};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Most messages in hand at once.
pub const MAX_IN_HAND: usize = 4096;
/// Most messages of one session in hand. Messages in hand go before more urgent ones that are inserted later.
pub const MAX_IN_HAND_OF_SESSION: usize = 512;

/// A number of messages and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages.
    pub count: usize,
    /// Their bytes, about.
    pub bytes: usize,
}

/// What is in hand, in all and of each tenant. A copy of it shows a claim what more it may take.
#[derive(Debug, Clone)]
pub struct Stock {
    /// Bytes that may be in hand. The last message may go beyond them.
    budget: usize,
    all: Amount,
    tenants: HashMap<Arc<str>, Amount>,
}

impl Stock {
    /// Nothing, with room for so many bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self { budget, all: Amount::default(), tenants: HashMap::new() }
    }

    /// All that is in hand.
    #[must_use]
    pub fn all(&self) -> Amount {
        self.all
    }

    /// How much more a tenant may have.
    #[must_use]
    pub fn room(&self, tenant: &str) -> Amount {
        let held = self.tenants.get(tenant).copied().unwrap_or_default();
        Amount {
            count: room(MAX_IN_HAND.saturating_sub(self.all.count), held.count, TENANT),
            bytes: room(self.budget.saturating_sub(self.all.bytes), held.bytes, TENANT),
        }
    }

    /// Adds a message if its tenant has room for it; false if not.
    pub fn admit(&mut self, tenant: &Arc<str>, bytes: usize) -> bool {
        let room = self.room(tenant);
        let admitted = room.count > 0 && room.bytes > 0;
        if admitted {
            self.add(tenant, bytes);
        }
        admitted
    }

    /// Adds a message.
    pub fn add(&mut self, tenant: &Arc<str>, bytes: usize) {
        for amount in [&mut self.all, self.tenants.entry(tenant.clone()).or_default()] {
            amount.count += 1;
            amount.bytes += bytes;
        }
    }

    /// Removes a message.
    pub fn remove(&mut self, tenant: &Arc<str>, bytes: usize) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        for amount in [&mut self.all, &mut *of_tenant] {
            amount.count -= 1;
            amount.bytes -= bytes;
        }
        if of_tenant.count == 0 {
            self.tenants.remove(tenant);
        }
    }
}

/// The bytes of memory that a claimed message takes, about.
#[must_use]
pub fn bytes_of(body: Option<&str>, content: Option<&Value>) -> usize {
    /// Of a value beside its text, and of a message beside its body and content.
    const VALUE: usize = size_of::<Value>();
    const MESSAGE: usize = size_of::<OutboundJob>() + 128;
    fn walk(value: &Value) -> usize {
        VALUE
            + match value {
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(walk).sum(),
                Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + walk(value)).sum(),
                _ => 0,
            }
    }
    MESSAGE + body.map_or(0, str::len) + content.map_or(0, walk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_no_tenant_fills_the_hand_by_number_or_by_bytes() {
        let (acme, bolt): (Arc<str>, Arc<str>) = ("acme".into(), "bolt".into());
        let mut stock = Stock::new(64 << 20);
        let large = 500_000;
        while stock.admit(&acme, large) {}
        // Seven eighths of the budget, and at most one message more.
        assert!(stock.all().bytes > 56 << 20 && stock.all().bytes < (56 << 20) + large, "{stock:?}");
        assert!(stock.admit(&bolt, large), "{stock:?}");

        let mut stock = Stock::new(64 << 20);
        while stock.admit(&acme, 1) {}
        assert_eq!(stock.all().count, 3584);
        assert!(stock.admit(&bolt, 1));
        stock.remove(&bolt, 1);
        for _ in 0..3584 {
            stock.remove(&acme, 1);
        }
        assert_eq!((stock.all(), stock.tenants.len()), (Amount::default(), 0));
    }

    #[test]
    fn r9_a_message_larger_than_the_budget_goes_alone() {
        let mut stock = Stock::new(10);
        assert!(stock.admit(&"acme".into(), 100));
        assert!(!stock.admit(&"bolt".into(), 1), "{stock:?}");
    }

    #[test]
    fn r9_the_bytes_of_a_message_are_counted() {
        let content = serde_json::json!({ "a": ["x".repeat(1000)] });
        let small = bytes_of(None, None);
        let large = bytes_of(Some(&"y".repeat(5000)), Some(&content));
        assert!((6000..6300).contains(&(large - small)), "{small} {large}");
    }
}
