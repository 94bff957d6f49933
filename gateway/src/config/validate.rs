//! The whole configuration against itself: ranges, names, keys that must fit each other, and combinations that are
//! refused because they open the gateway by accident.

mod api_keys;
mod expressions;
mod history;
mod http;
mod proxies;
mod security;
mod tokens;

use std::{collections::HashSet, fmt::Display, ops::RangeInclusive, time::Duration};

use super::{
    error::Problems,
    loader::Machine,
    nats_url::NatsUrl,
    raw::RawSettings,
    settings::{
        ClientSettings, CompressionSettings, Degraded, MAX_LEASE, NatsSettings, PayloadKind,
        RevocationSettings, RoomOptions, RoomSettings, Settings,
    },
    units::{show_duration, show_size},
};

const MAX_WORKERS: usize = 64;
/// What metrics and logs call rooms without a namespace.
const UNNAMED: &str = "default";
/// Beyond a day a duration is a slip of the unit.
const DAY: Duration = Duration::from_hours(24);
const MOMENT: Duration = Duration::from_millis(1);
/// Beyond it people notice.
const MAX_BATCH_WINDOW: Duration = Duration::from_millis(100);
/// Members that are listed: an answer with all of them has some 2 MiB.
const MAX_PRESENCE_LIMIT: usize = 20_000;
/// A shorter lease would end while NATS chooses a leader; who revokes something may have to wait for a longer one.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(2)..=MAX_LEASE;
/// All of them are in every gateway's memory.
const MAX_RULES: usize = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// Largest message, request or queue in bytes.
const MAX_SIZE: usize = 64 << 20;

/// Turns the raw settings into valid ones; the result counts only if `problems` stays empty.
pub(super) fn validate(raw: RawSettings, machine: &Machine, problems: &mut Problems) -> Settings {
    let settings = resolve(raw, machine);
    listeners(&settings, problems);
    client(&settings.client, problems);
    tokens::check(&settings, problems);
    revocation(&settings.revocation, problems);
    http::check(&settings, problems);
    rooms(&settings.rooms, problems);
    personal(&settings, problems);
    proxies::check(&settings, problems);
    bus(&settings, problems);
    drain(&settings, problems);
    observability(&settings, problems);
    security::check(&settings, problems);
    api_keys::check(&settings, problems);
    settings
}

/// Fills in what the machine decides.
pub(super) fn resolve(raw: RawSettings, machine: &Machine) -> Settings {
    Settings {
        listen: raw.listen,
        ops_listen: raw.ops_listen,
        workers: if raw.workers == 0 {
            machine.cores.clamp(1, MAX_WORKERS)
        } else {
            raw.workers
        },
        node_name: raw.node_name.unwrap_or_else(|| machine.host_name.clone()),
        client: raw.client,
        tokens: raw.tokens,
        revocation: raw.revocation,
        http: raw.http,
        api: raw.api,
        ops: raw.ops,
        page: raw.page,
        rooms: raw.rooms,
        proxies: raw.proxies,
        bus: raw.bus,
        drain: raw.drain,
        log: raw.log,
        tracing: raw.tracing,
        metrics: raw.metrics,
    }
}

impl Problems {
    fn within<T: PartialOrd + Copy, D: Display>(
        &mut self,
        path: &str,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(T) -> D,
    ) {
        if !range.contains(&value) {
            let (least, most) = (show(*range.start()), show(*range.end()));
            let size = if value < *range.start() { "small" } else { "large" };
            self.add(
                path,
                format!("{} is too {size}", show(value)),
                format!("{least} to {most}"),
            );
        }
    }

    fn duration(&mut self, path: &str, value: Duration, least: Duration) {
        self.within(path, value, least..=DAY, show_duration);
    }

    fn size(&mut self, path: &str, value: usize, least: usize) {
        self.within(path, value, least..=MAX_SIZE, show_size);
    }

    fn whole_seconds(&mut self, path: &str, value: Duration) {
        self.duration(path, value, SECOND);
        if value > SECOND && value.subsec_nanos() != 0 {
            self.add(
                path,
                format!("{} is not whole seconds", show_duration(value)),
                "such as 25s",
            );
        }
    }

    fn token(&mut self, path: &str, value: &str) {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if value.is_empty() || value.len() > 64 || !value.chars().all(known) {
            self.add(
                path,
                format!("{value:?} is not a name"),
                "1 to 64 letters, digits, _ or -",
            );
        }
    }

    fn label(&mut self, path: &str, value: &str) {
        if value.is_empty() || value.len() > 253 || !value.chars().all(|c| c.is_ascii_graphic()) {
            self.add(
                path,
                format!("{value:?} is not a name"),
                "1 to 253 printable ASCII characters, no spaces",
            );
        }
    }
}

/// Two listeners on one port would share it through `SO_REUSEPORT`, each taking some of the other's connections.
fn listeners(settings: &Settings, problems: &mut Problems) {
    let (clients, ops) = (settings.listen, settings.ops_listen);
    let meet = clients.ip() == ops.ip() || clients.ip().is_unspecified() || ops.ip().is_unspecified();
    if clients.port() != 0
        && clients.port() == ops.port()
        && meet
        && problems.sound(&["listen", "ops_listen"])
    {
        problems.add(
            "ops_listen",
            format!("{ops} meets listen ({clients})"),
            "another port",
        );
    }
    if let Some(file) = &settings.ops.control.token_file
        && file.as_os_str().is_empty()
    {
        let expected = "the path of a file with a token on each line, or null for no control calls";
        problems.add("ops.control.token_file", "empty", expected);
    }
    problems.within("workers", settings.workers, 1..=MAX_WORKERS, |n| n);
    problems.label("node_name", &settings.node_name);
}

fn revocation(revocation: &RevocationSettings, problems: &mut Problems) {
    problems.within("revocation.lease", revocation.lease, LEASES, show_duration);
    problems.within("revocation.max_rules", revocation.max_rules, 1..=MAX_RULES, |n| n);
}

fn client(client: &ClientSettings, problems: &mut Problems) {
    problems.whole_seconds("client.ping_interval", client.ping_interval);
    problems.duration("client.pong_timeout", client.pong_timeout, MOMENT);
    problems.duration("client.stale_timeout", client.stale_timeout, MOMENT);
    problems.duration("client.close_timeout", client.close_timeout, MOMENT);
    problems.duration(
        "client.expired_close_delay",
        client.expired_close_delay,
        Duration::ZERO,
    );
    problems.duration(
        "client.expired_sub_close_delay",
        client.expired_sub_close_delay,
        Duration::ZERO,
    );
    problems.size("client.message_size_limit", client.message_size_limit, 128);
    problems.size("client.queue_max_size", client.queue_max_size, 128);
    limits(client, problems);
    problems.within("client.channel_limit", client.channel_limit, 1..=100_000, |n| n);
    problems.within(
        "client.channel_max_length",
        client.channel_max_length,
        1..=255,
        |n| n,
    );
    problems.within("client.recovery_limit", client.recovery_limit, 1..=10_000, |n| n);
    problems.within("client.history_limit", client.history_limit, 1..=10_000, |n| n);
    compression(&client.compression, problems);
    if client.pong_timeout >= client.ping_interval
        && problems.sound(&["client.pong_timeout", "client.ping_interval"])
    {
        let (wait, interval) = (
            show_duration(client.pong_timeout),
            show_duration(client.ping_interval),
        );
        problems.add(
            "client.pong_timeout",
            format!("{wait} is too long"),
            format!("less than client.ping_interval, {interval}"),
        );
    }
    if client.queue_max_size < client.message_size_limit
        && problems.sound(&["client.queue_max_size", "client.message_size_limit"])
    {
        let (queue, message) = (
            show_size(client.queue_max_size),
            show_size(client.message_size_limit),
        );
        let expected =
            format!("at least client.message_size_limit, {message}, or one message would close its readers");
        problems.add("client.queue_max_size", format!("{queue} is too small"), expected);
    }
}

/// A slip of the keyboard: nothing on one machine is as much.
const MAX_RATE: u32 = 1_000_000;

fn limits(client: &ClientSettings, problems: &mut Problems) {
    let rates = &client.rate_limit;
    for (path, rate) in [
        ("client.connection_limit", client.connection_limit),
        ("client.connection_rate_limit", client.connection_rate_limit),
        ("client.user_connection_limit", client.user_connection_limit),
        ("client.address_connection_limit", client.address_connection_limit),
        ("client.rate_limit.commands", rates.commands),
        ("client.rate_limit.publications", rates.publications),
        ("client.rate_limit.reads", rates.reads),
        ("client.rate_limit.user_commands", rates.user_commands),
        ("client.rate_limit.user_publications", rates.user_publications),
        ("client.rate_limit.user_reads", rates.user_reads),
    ] {
        problems.within(path, rate, 0..=MAX_RATE, |n| n);
    }
}

fn compression(compression: &CompressionSettings, problems: &mut Problems) {
    let largest = CompressionSettings::MAX_SIZE;
    let path = "client.compression.min_size";
    problems.within(path, compression.min_size, 1..=largest, show_size);
    let path = "client.compression.min_members";
    problems.within(path, compression.min_members, 1..=1_000_000, |n| n);
}

fn rooms(rooms: &RoomSettings, problems: &mut Problems) {
    if let Some(options) = &rooms.default {
        room("rooms.default", options, problems);
    }
    let mut seen = HashSet::new();
    for (index, namespace) in rooms.namespaces.iter().enumerate() {
        let path = format!("rooms.namespaces[{index}]");
        name(&format!("{path}.name"), &namespace.name, &mut seen, problems);
        room(&path, &namespace.options, problems);
    }
}

fn room(path: &str, options: &RoomOptions, problems: &mut Problems) {
    problems.within(
        &format!("{path}.batch_window"),
        options.batch_window,
        Duration::ZERO..=MAX_BATCH_WINDOW,
        show_duration,
    );
    problems.within(
        &format!("{path}.publication_rate"),
        options.publication_rate,
        0..=MAX_RATE,
        |n| n,
    );
    problems.within(
        &format!("{path}.presence_limit"),
        options.presence_limit,
        1..=MAX_PRESENCE_LIMIT,
        |n| n,
    );
    if options.force_push_join_leave && !options.join_leave {
        problems.add(
            &format!("{path}.force_push_join_leave"),
            "true without join_leave",
            "join_leave: true; members are told of what the namespace allows",
        );
    }
    expressions::check(path, options, problems);
    if let Some(history) = &options.history {
        history::check(&format!("{path}.history"), history, problems);
        if options.degraded == Degraded::Local {
            problems.add(
                &format!("{path}.degraded"),
                "\"local\" for rooms with history",
                "refuse; what cannot be stored is never acknowledged",
            );
        }
    }
}

/// Rooms that no policy holds for would let nobody connect.
fn personal(settings: &Settings, problems: &mut Problems) {
    let personal = &settings.client.subscribe_to_user_personal_channel;
    let rooms = &settings.rooms;
    let (options, expected) = match personal.namespace() {
        Some(name) => (
            rooms
                .namespaces
                .iter()
                .find(|namespace| namespace.name == name)
                .map(|namespace| &namespace.options),
            "a namespace of rooms.namespaces, or null",
        ),
        None => (rooms.default.as_ref(), "a namespace, as rooms.default is null"),
    };
    let path = "client.subscribe_to_user_personal_channel.personal_channel_namespace";
    if !problems.sound(&[path]) {
        return;
    }
    if personal.enabled && options.is_some_and(|options| options.payload == PayloadKind::Binary) {
        problems.add(
            path,
            "rooms of any bytes",
            "a namespace with payload: json, as every client is in its room",
        );
    }
    let is_needed = personal.enabled || personal.namespace().is_some();
    if is_needed && options.is_none() {
        let name = personal.namespace();
        let problem = name.map_or("missing".to_owned(), |name| {
            format!("there is no namespace {name:?}")
        });
        problems.add(path, problem, expected);
    }
}

fn name<'a>(path: &str, name: &'a str, seen: &mut HashSet<&'a str>, problems: &mut Problems) {
    if !problems.sound(&[path]) {
        return;
    }
    if name.is_empty() {
        problems.add(path, "missing", "1 to 64 letters, digits, _ or -");
        return;
    }
    problems.token(path, name);
    if name == UNNAMED {
        problems.add(
            path,
            "\"default\" is taken",
            "another name; rooms.default is the policy of rooms without one",
        );
    }
    if !seen.insert(name) {
        problems.add(
            path,
            format!("{name:?} is there twice"),
            "one entry for each namespace",
        );
    }
}

fn bus(settings: &Settings, problems: &mut Problems) {
    let bus = &settings.bus;
    problems.token("bus.prefix", &bus.prefix);
    problems.duration("bus.linger", bus.linger, Duration::ZERO);
    problems.duration("bus.join_timeout", bus.join_timeout, MOMENT);
    let Some(nats) = &bus.nats else {
        if settings.api.nats && problems.sound(&["api.nats", "bus.nats"]) {
            let expected = "bus.nats with the servers to be called over, or false";
            problems.add("api.nats", "true without bus.nats", expected);
        }
        return;
    };
    if nats.servers.is_empty() && problems.sound(&["bus.nats.servers"]) {
        let expected = "at least one URL such as nats://host:4222, or bus.nats: null for the embedded bus";
        problems.add("bus.nats.servers", "no server", expected);
    }
    if nats.servers.windows(2).any(|pair| !pair[0].logs_in_as(&pair[1])) {
        let expected = "the same in every URL: they are servers of one NATS";
        problems.add("bus.nats.servers", "servers with different credentials", expected);
    }
    nats_files(nats, problems);
    problems.duration("bus.nats.ping_interval", nats.ping_interval, MOMENT);
    problems.duration("bus.nats.request_timeout", nats.request_timeout, MOMENT);
    problems.duration("bus.nats.store_timeout", nats.store_timeout, MOMENT);
    // More would leave publications no room in the client's queue of 2,048 commands.
    problems.within(
        "bus.nats.join_concurrency",
        nats.join_concurrency,
        1..=1024,
        |n| n,
    );
    if let Some(name) = &nats.name {
        problems.label("bus.nats.name", name);
    }
}

fn nats_files(nats: &NatsSettings, problems: &mut Problems) {
    for (key, file) in [
        ("bus.nats.credentials_file", &nats.credentials_file),
        ("bus.nats.ca_file", &nats.ca_file),
        ("bus.nats.certificate_file", &nats.certificate_file),
        ("bus.nats.key_file", &nats.key_file),
    ] {
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            problems.add(key, "empty", "the path of a file, or null");
        }
    }
    if nats.certificate_file.is_some() != nats.key_file.is_some() {
        let expected = "both of certificate_file and key_file, or none";
        problems.add("bus.nats.certificate_file", "one without the other", expected);
    }
    if nats.credentials_file.is_some() && nats.servers.iter().any(NatsUrl::has_login) {
        let expected = "a file, or credentials in the URLs of bus.nats.servers";
        problems.add("bus.nats.credentials_file", "two ways to log in", expected);
    }
}

fn drain(settings: &Settings, problems: &mut Problems) {
    let drain = &settings.drain;
    problems.duration("drain.accept", drain.accept, Duration::ZERO);
    problems.duration("drain.duration", drain.duration, Duration::ZERO);
    problems.duration("drain.deadline", drain.deadline, MOMENT);
    problems.whole_seconds("drain.retry_after", drain.retry_after);
    let planned = drain.accept.saturating_add(drain.duration);
    if drain.deadline <= planned && problems.sound(&["drain.accept", "drain.duration", "drain.deadline"]) {
        let problem = format!("{} is too short", show_duration(drain.deadline));
        let expected = format!(
            "more than drain.accept and drain.duration together, {}",
            show_duration(planned)
        );
        problems.add("drain.deadline", problem, expected);
    }
}

fn observability(settings: &Settings, problems: &mut Problems) {
    let tracing = &settings.tracing;
    for (key, file) in [
        ("tracing.otlp_ca_file", &tracing.otlp_ca_file),
        ("tracing.otlp_certificate_file", &tracing.otlp_certificate_file),
        ("tracing.otlp_key_file", &tracing.otlp_key_file),
        ("tracing.otlp_headers_file", &tracing.otlp_headers_file),
    ] {
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            problems.add(key, "empty", "the path of a file, or null");
        }
    }
    if tracing.otlp_certificate_file.is_some() != tracing.otlp_key_file.is_some() {
        let expected = "both of otlp_certificate_file and otlp_key_file, or none";
        problems.add("tracing.otlp_certificate_file", "one without the other", expected);
    }
    problems.within(
        "tracing.sample_ratio",
        settings.tracing.sample_ratio,
        0.0..=1.0,
        |ratio| ratio,
    );
    problems.within(
        "metrics.delivery_sample",
        settings.metrics.delivery_sample,
        1..=u32::MAX,
        |n| n,
    );
}
