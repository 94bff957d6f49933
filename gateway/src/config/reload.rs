//! What a reload may change. The rest is built into sockets, threads and connections that live as long as the process.

use super::{
    Settings,
    error::{ConfigErrors, Problems},
};

impl Settings {
    /// Whether `new` can replace these settings while the gateway runs; otherwise every changed key that needs a restart.
    /// A reload is whole or not at all: on an error the old settings stay.
    pub fn check_reload(&self, new: &Self) -> Result<(), ConfigErrors> {
        let mut problems = Problems::default();
        let changed = self.fixed_changes(new).into_iter().chain(self.nats_changes(new));
        for (path, _) in changed.filter(|(_, changed)| *changed) {
            problems.add(
                path,
                "changed while the gateway runs",
                "the old value, or a restart",
            );
        }
        problems.result(Some(()))
    }

    fn fixed_changes(&self, new: &Self) -> [(&'static str, bool); 11] {
        let (old_bus, new_bus) = (&self.bus, &new.bus);
        [
            ("listen", self.listen != new.listen),
            ("ops_listen", self.ops_listen != new.ops_listen),
            ("workers", self.workers != new.workers),
            ("node_name", self.node_name != new.node_name),
            ("bus.prefix", old_bus.prefix != new_bus.prefix),
            ("bus.linger", old_bus.linger != new_bus.linger),
            ("bus.critical", old_bus.critical != new_bus.critical),
            ("bus.join_timeout", old_bus.join_timeout != new_bus.join_timeout),
            ("log.format", self.log.format != new.log.format),
            (
                "tracing.otlp_endpoint",
                self.tracing.otlp_endpoint != new.tracing.otlp_endpoint,
            ),
            (
                "tracing.sample_ratio",
                self.tracing.sample_ratio.to_bits() != new.tracing.sample_ratio.to_bits(),
            ),
        ]
    }

    fn nats_changes(&self, new: &Self) -> Vec<(&'static str, bool)> {
        match (&self.bus.nats, &new.bus.nats) {
            (Some(old), Some(new)) => vec![
                ("bus.nats.servers", old.servers != new.servers),
                ("bus.nats.ping_interval", old.ping_interval != new.ping_interval),
                (
                    "bus.nats.request_timeout",
                    old.request_timeout != new.request_timeout,
                ),
                ("bus.nats.name", old.name != new.name),
            ],
            (old, new) => vec![("bus.nats", old.is_some() != new.is_some())],
        }
    }
}
