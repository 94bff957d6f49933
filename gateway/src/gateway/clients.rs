//! Who is connected.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// A user has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Connected clients by user; a user may be connected many times.
#[derive(Default)]
pub struct Clients {
    connected: AtomicU64,
    users: Mutex<HashMap<Arc<str>, u32>>,
}

impl Clients {
    /// Counts a client; returns the shared name of its user unless it is anonymous. `limit`: of connections that a user may
    /// have, 0 for any number.
    pub fn add(&self, user: &str, limit: u32) -> Result<Option<Arc<str>>, TooMany> {
        if user.is_empty() {
            self.connected.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let mut users = self.users.lock();
        if limit > 0 && users.get(user).is_some_and(|count| *count >= limit) {
            return Err(TooMany);
        }
        self.connected.fetch_add(1, Ordering::Relaxed);
        if let Some((name, _)) = users.get_key_value(user) {
            let name = name.clone();
            users.entry(name.clone()).and_modify(|count| *count += 1);
            return Ok(Some(name));
        }
        let name: Arc<str> = user.into();
        users.insert(name.clone(), 1);
        Ok(Some(name))
    }

    pub fn remove(&self, user: &str) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        let mut users = self.users.lock();
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
                if users.capacity() > 64 && users.capacity() > 4 * users.len() {
                    users.shrink_to_fit();
                }
            }
        }
    }

    /// Connections of a user here.
    pub fn of(&self, user: &str) -> u32 {
        self.users.lock().get(user).copied().unwrap_or(0)
    }

    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub fn users(&self) -> usize {
        self.users.lock().len()
    }
}
