//! Who is connected.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Connected clients by user; a user may be connected many times.
#[derive(Default)]
pub struct Clients {
    connected: AtomicU64,
    users: Mutex<HashMap<Arc<str>, u32>>,
}

impl Clients {
    /// Counts a client; returns the shared name of its user unless it is anonymous.
    pub fn add(&self, user: &str) -> Option<Arc<str>> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        if user.is_empty() {
            return None;
        }
        let mut users = self.users.lock();
        if let Some((name, _)) = users.get_key_value(user) {
            let name = name.clone();
            users.entry(name.clone()).and_modify(|count| *count += 1);
            return Some(name);
        }
        let name: Arc<str> = user.into();
        users.insert(name.clone(), 1);
        Some(name)
    }

    pub fn remove(&self, user: &str) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        let mut users = self.users.lock();
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
            }
        }
    }

    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub fn users(&self) -> usize {
        self.users.lock().len()
    }
}
