//! What a reload may change. The rest is built into sockets, threads and connections that live as long as the process.

use super::{
    HistoryOptions, Settings,
    error::{ConfigErrors, Problems},
};

impl Settings {
    /// Whether `new` can replace these settings while the gateway runs; otherwise every changed key that needs a restart.
    /// A reload is whole or not at all: on an error the old settings stay.
    pub fn check_reload(&self, new: &Self) -> Result<(), ConfigErrors> {
        let mut problems = Problems::default();
        let named = self.fixed_changes(new).into_iter().chain(self.nats_changes(new));
        let named = named
            .filter(|(_, changed)| *changed)
            .map(|(path, _)| path.to_owned());
        for path in named.chain(self.room_changes(new)) {
            problems.add(
                &path,
                "changed while the gateway runs",
                "the old value, or a restart",
            );
        }
        problems.result(Some(()))
    }

    fn fixed_changes(&self, new: &Self) -> [(&'static str, bool); 21] {
        let (old_bus, new_bus) = (&self.bus, &new.bus);
        [
            ("listen", self.listen != new.listen),
            ("ops_listen", self.ops_listen != new.ops_listen),
            ("workers", self.workers != new.workers),
            ("node_name", self.node_name != new.node_name),
            (
                "ops.control.token_file",
                self.ops.control.token_file != new.ops.control.token_file,
            ),
            ("revocation.lease", self.revocation.lease != new.revocation.lease),
            (
                "http.tls.certificate_file",
                self.http.tls.certificate_file != new.http.tls.certificate_file,
            ),
            (
                "http.tls.key_file",
                self.http.tls.key_file != new.http.tls.key_file,
            ),
            (
                "http.tls.client_ca_file",
                self.http.tls.client_ca_file != new.http.tls.client_ca_file,
            ),
            ("api.nats", self.api.nats != new.api.nats),
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
                "tracing.otlp_ca_file",
                self.tracing.otlp_ca_file != new.tracing.otlp_ca_file,
            ),
            (
                "tracing.otlp_certificate_file",
                self.tracing.otlp_certificate_file != new.tracing.otlp_certificate_file,
            ),
            (
                "tracing.otlp_key_file",
                self.tracing.otlp_key_file != new.tracing.otlp_key_file,
            ),
            (
                "tracing.otlp_headers_file",
                self.tracing.otlp_headers_file != new.tracing.otlp_headers_file,
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
                (
                    "bus.nats.credentials_file",
                    old.credentials_file != new.credentials_file,
                ),
                ("bus.nats.ca_file", old.ca_file != new.ca_file),
                (
                    "bus.nats.certificate_file",
                    old.certificate_file != new.certificate_file,
                ),
                ("bus.nats.key_file", old.key_file != new.key_file),
                ("bus.nats.ping_interval", old.ping_interval != new.ping_interval),
                (
                    "bus.nats.request_timeout",
                    old.request_timeout != new.request_timeout,
                ),
                ("bus.nats.store_timeout", old.store_timeout != new.store_timeout),
                (
                    "bus.nats.join_concurrency",
                    old.join_concurrency != new.join_concurrency,
                ),
                (
                    "bus.nats.manage_streams",
                    old.manage_streams != new.manage_streams,
                ),
                ("bus.nats.name", old.name != new.name),
            ],
            (old, new) => vec![("bus.nats", old.is_some() != new.is_some())],
        }
    }

    /// Changes in what rooms hold that both settings have. A list has no order here: namespaces meet by name, and
    /// a finding names the place in the new list.
    fn room_changes(&self, new: &Self) -> Vec<String> {
        let (old, new) = (&self.rooms, &new.rooms);
        let unnamed = old.default.iter().zip(&new.default);
        let unnamed = unnamed.map(|(old, new)| ("rooms.default".to_owned(), old, new));
        let named = new.namespaces.iter().enumerate().filter_map(|(index, new)| {
            let old = old.namespaces.iter().find(|old| old.name == new.name)?;
            Some((format!("rooms.namespaces[{index}]"), &old.options, &new.options))
        });
        unnamed
            .chain(named)
            .flat_map(|(path, old, new)| {
                let payload = ("payload", old.payload != new.payload);
                let presence = ("presence", old.presence != new.presence);
                let join_leave = ("join_leave", old.join_leave != new.join_leave);
                kept_changes(old.history.as_ref(), new.history.as_ref())
                    .into_iter()
                    .chain([payload, presence, join_leave])
                    .filter(|(_, changed)| *changed)
                    .map(move |(key, _)| format!("{path}.{key}"))
            })
            .collect()
    }
}

/// What is written into the streams of a namespace, or decides whether there are any. The rest of its history is the
/// gateway's own doing and changes with a reload.
fn kept_changes(old: Option<&HistoryOptions>, new: Option<&HistoryOptions>) -> Vec<(&'static str, bool)> {
    let (Some(old), Some(new)) = (old, new) else {
        return vec![("history", old.is_some() != new.is_some())];
    };
    let (was, is) = (&old.stream, &new.stream);
    vec![
        ("history.size", old.size != new.size),
        ("history.ttl", old.ttl != new.ttl),
        ("history.idempotency_window", window_changed(old, new)),
        ("history.stream.managed", was.managed != is.managed),
        ("history.stream.partitions", was.partitions != is.partitions),
        ("history.stream.replicas", was.replicas != is.replicas),
        ("history.stream.storage", was.storage != is.storage),
        ("history.stream.max_bytes", was.max_bytes != is.max_bytes),
        ("history.stream.discard", was.discard != is.discard),
    ]
}

/// A window that only followed its `ttl` is not named: nobody wrote it.
fn window_changed(old: &HistoryOptions, new: &HistoryOptions) -> bool {
    old.idempotency_window != new.idempotency_window
        && !(old.window_follows_ttl() && new.window_follows_ttl())
}
