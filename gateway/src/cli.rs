//! The command line: what to do, and the flags as the highest of the configuration's sources.

mod token;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use self::token::Token;
use crate::{
    bus::Permissions,
    config::{self, Environment, Loader, Settings},
    delete_streams, migrate, nats_permissions,
    probe::Probe,
    setup_bus,
};

/// Exit code of a wrong configuration or command line: `EX_USAGE` of sysexits.h.
pub const EX_USAGE: u8 = 64;

/// Exit code of a failure at run time.
pub const EX_FAILURE: u8 = 1;

const AFTER_HELP: &str = "\
Examples:
  natter-gateway
      Chat on http://127.0.0.1:8000 with the embedded bus; no configuration needed.
  natter-gateway --config gateway.yaml
      Everything from a file; SIGHUP or a change of the file reloads it.
  natter-gateway --nats nats://127.0.0.1:4222 --listen 127.0.0.1:8001 --ops-listen 127.0.0.1:9001
      One of several gateways over one NATS.
  natter-gateway check-config --config gateway.yaml
      Says all that is wrong with it, without starting.
  natter-gateway probe --url ws://127.0.0.1:8000
      Says whether two clients can talk through it.
  natter-gateway delete-streams --config gateway.yaml
      Deletes all that the cluster of bus.prefix has stored at NATS; its gateways must be gone.
  natter-gateway nats-permissions --config gateway.yaml > users.conf
      The users of NATS that the configuration needs, with the least that they must be permitted.
  natter-gateway setup-bus --config gateway.yaml --nats nats://admin:secret@127.0.0.1:4222
      Makes the streams for gateways whose user at NATS may not.
  natter-gateway token --config gateway.yaml --user 42
      A token for the user 42, signed with the first secret of the configuration.
  natter-gateway import-centrifugo config.json > natter.yaml
      Converts a configuration of Centrifugo, and says what it could not convert.

Environment:
  NATTER_CONFIG is the file, for want of --config.
  Every key has a variable: bus.nats.servers is NATTER_BUS_NATS_SERVERS. Lists are separated by commas.
  Order: built-in defaults, file, environment, flags (--set last); the later wins.
  All keys: docs/configuration.md

Exit codes:
  0   stopped as asked, clients drained
  1   failed while starting or running; a probe failed, streams may be left or missing, or options were not converted
  64  the command line or the configuration is wrong; nothing was opened";

/// WebSocket chat gateway: speaks the Centrifuge client protocol and bridges rooms over NATS
#[derive(Parser)]
#[command(name = "natter-gateway", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration and exit: 0 if it is valid, 64 with every error if not
    CheckConfig(Flags),
    /// Open two sockets, join a room, send, receive, and exit: 0 if that works, 1 with the failed step if not
    Probe(Probe),
    /// Delete the streams of a cluster without gateways at NATS, and exit: 0 if none is left, 1 with the reason if one may be
    DeleteStreams {
        #[command(flatten)]
        flags: Flags,
        /// Time for everything
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
        time_limit: Duration,
    },
    /// Make the streams that the configuration needs at NATS, as a user that may, and exit: 0 if all are there, 1 with the reason if not
    SetupBus {
        #[command(flatten)]
        flags: Flags,
        /// Time for everything
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
        time_limit: Duration,
    },
    /// Print the users of NATS that the configuration needs, with the least that they must be permitted
    NatsPermissions {
        #[command(flatten)]
        flags: Flags,
        /// For the configuration of nats-server, or as the claims of the users' JWTs
        #[arg(long, value_enum, default_value = "nats-conf")]
        format: PermissionsFormat,
        /// For any namespaces of a cluster with this prefix that has the NATS for itself, whatever the configuration says
        #[arg(long, value_name = "PREFIX")]
        any_namespaces: Option<String>,
        /// The document whose tables are replaced
        #[arg(long, value_name = "FILE", hide = true)]
        tables: Option<PathBuf>,
    },
    /// Print a signed token for a client, for development, and exit: 0 if there is one, 1 with the reason if not
    Token(Box<Token>),
    /// Convert a configuration of Centrifugo and exit: 0 if every option was converted or is not needed, 1 if not
    ///
    /// The configuration goes to the standard output; the options that are not in it go to the standard error, each with the reason.
    ImportCentrifugo {
        /// Configuration of Centrifugo 5 or 6 in JSON, YAML or TOML
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Write the table of Centrifugo's options into docs/migration.md
    #[command(hide = true)]
    MigrationTable {
        /// The document whose table is replaced
        file: PathBuf,
    },
    /// Print the table of all keys, or write it into docs/configuration.md
    #[command(hide = true)]
    ConfigReference {
        /// The document whose table is replaced
        file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum PermissionsFormat {
    NatsConf,
    Json,
}

// Values are plain text here: the configuration checks them together with all others. They may hold secrets: no `Debug`.
#[derive(Args, Default)]
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they stand")]
struct Flags {
    /// YAML file to read [env: NATTER_CONFIG]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// Set any key, the value in YAML: --set client.ping_interval=30s (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Configuration")]
    set: Vec<String>,
    /// Address for clients, the server API and the page [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS", help_heading = "Gateway")]
    listen: Option<String>,
    /// Address for /livez, /readyz and /metrics [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS", help_heading = "Gateway")]
    ops_listen: Option<String>,
    /// Worker threads, 0 for one per core [default: 0]
    #[arg(long, value_name = "COUNT", help_heading = "Gateway")]
    workers: Option<String>,
    /// NATS server, nats://host:4222 (repeatable); without one, the bus is embedded
    #[arg(long, value_name = "URL", help_heading = "Gateway")]
    nats: Vec<String>,
    /// Lowest level, or a filter such as info,natter_gateway=debug [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Logs")]
    log_level: Option<String>,
    /// pretty or json [default: pretty]
    #[arg(long, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Option<String>,
}

impl Cli {
    /// Reads this process's command line. Help and version end the process with 0, a wrong command line with [`EX_USAGE`].
    pub fn from_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // Nothing is left to tell when standard error is closed.
            let _ = error.print();
            process::exit(i32::from(exit_code(&error)))
        })
    }

    /// The sources that this command line names, with this process's environment.
    pub fn loader(&self) -> Loader {
        self.loader_in(Environment::of_process())
    }

    /// As [`Cli::loader`], with another environment.
    pub fn loader_in(&self, environment: Environment) -> Loader {
        let flags = match &self.command {
            Some(
                Command::CheckConfig(flags)
                | Command::DeleteStreams { flags, .. }
                | Command::SetupBus { flags, .. }
                | Command::NatsPermissions { flags, .. },
            ) => flags,
            Some(Command::Token(token)) => &token.flags,
            _ => &self.flags,
        };
        flags.loader(environment)
    }

    /// Does what a subcommand asks and returns the exit code; `None`: the gateway shall run.
    pub fn answer(&self) -> Option<u8> {
        let done = match self.command.as_ref()? {
            Command::CheckConfig(_) => check_config(&self.loader(), &mut io::stdout(), &mut io::stderr()),
            Command::Probe(probe) => probe
                .run(&mut io::stdout())
                .map(|()| 0)
                .map_err(|error| io::Error::other(format!("probe: {error:#}"))),
            Command::DeleteStreams { time_limit, .. } => {
                delete_streams(&self.loader(), *time_limit, &mut io::stdout(), &mut io::stderr())
            }
            Command::SetupBus { time_limit, .. } => {
                setup_bus(&self.loader(), *time_limit, &mut io::stdout(), &mut io::stderr())
            }
            Command::NatsPermissions {
                tables: Some(file), ..
            } => rewrite(file, nats_permissions::rewrite_tables).map(|()| 0),
            Command::NatsPermissions {
                format,
                any_namespaces: Some(prefix),
                ..
            } => write_permissions(
                &Permissions::of_any_namespaces(prefix),
                *format,
                &mut io::stdout(),
            )
            .map(|()| 0),
            Command::NatsPermissions { format, .. } => {
                print_permissions(*format, &self.loader(), &mut io::stdout(), &mut io::stderr())
            }
            Command::Token(token) => print_token(token, &self.loader(), &mut io::stdout(), &mut io::stderr()),
            Command::ImportCentrifugo { file } => {
                import_centrifugo(file, &mut io::stdout(), &mut io::stderr())
            }
            Command::MigrationTable { file } => rewrite(file, migrate::rewrite_table).map(|()| 0),
            Command::ConfigReference { file } => config_reference(file.as_deref(), &mut io::stdout()),
        };
        Some(done.unwrap_or_else(|error| {
            eprintln!("natter-gateway: {error}");
            EX_FAILURE
        }))
    }
}

impl Flags {
    fn loader(&self, environment: Environment) -> Loader {
        let mut loader = Loader::new(environment);
        if let Some(path) = &self.config {
            loader = loader.with_file(path);
        }
        let named = [
            ("--listen", "listen", &self.listen),
            ("--ops-listen", "ops_listen", &self.ops_listen),
            ("--workers", "workers", &self.workers),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        for (name, path, text) in named {
            if let Some(text) = text {
                loader = loader.with_flag(name, path, text);
            }
        }
        loader = loader.with_list("--nats", "bus.nats.servers", self.nats.clone());
        self.set.iter().fold(loader, Loader::with_set)
    }
}

/// The exit code of what clap answers itself.
fn exit_code(error: &clap::Error) -> u8 {
    if error.use_stderr() { EX_USAGE } else { 0 }
}

fn check_config(loader: &Loader, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    with_settings(loader, err, |settings| {
        writeln!(out, "configuration is valid")?;
        summary(settings, out)
    })
}

fn print_token(token: &Token, loader: &Loader, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    with_settings(loader, err, |settings| {
        let text = token.make(settings);
        let text = text.map_err(|error| io::Error::other(format!("token: {error}")))?;
        writeln!(out, "{text}")
    })
}

fn delete_streams(
    loader: &Loader,
    time_limit: Duration,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    with_settings(loader, err, |settings| {
        delete_streams::run(settings, time_limit, out)
            .map_err(|error| io::Error::other(format!("delete-streams: {error:#}")))
    })
}

fn setup_bus(
    loader: &Loader,
    time_limit: Duration,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    with_settings(loader, err, |settings| {
        setup_bus::run(settings, time_limit, out)
            .map_err(|error| io::Error::other(format!("setup-bus: {error:#}")))
    })
}

fn print_permissions(
    format: PermissionsFormat,
    loader: &Loader,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    with_settings(loader, err, |settings| {
        write_permissions(&nats_permissions::of(settings), format, out)
    })
}

fn write_permissions(
    permissions: &Permissions,
    format: PermissionsFormat,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        PermissionsFormat::NatsConf => write!(out, "{}", nats_permissions::nats_conf(permissions)),
        PermissionsFormat::Json => writeln!(out, "{:#}", nats_permissions::json(permissions)),
    }
}

/// Does something with a valid configuration, or says all that is wrong with it.
fn with_settings(
    loader: &Loader,
    err: &mut impl Write,
    work: impl FnOnce(&Settings) -> io::Result<()>,
) -> io::Result<u8> {
    match loader.load() {
        Ok(settings) => work(&settings).map(|()| 0),
        Err(errors) => {
            writeln!(err, "{errors}")?;
            Ok(EX_USAGE)
        }
    }
}

fn summary(settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let count =
        |number: usize, thing: &str| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
    let anonymous = if settings.allows_anonymous() {
        "clients without a user id allowed"
    } else {
        "users only"
    };
    let workers = count(settings.workers, "worker");
    writeln!(out, "  node   {}, {workers}", settings.node_name)?;
    writeln!(out, "  listen {}, {anonymous}", settings.listen)?;
    writeln!(out, "  ops    {}", settings.ops_listen)?;
    let bus = match &settings.bus.nats {
        None => "embedded".to_owned(),
        Some(nats) => nats
            .servers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    writeln!(out, "  bus    {bus}, prefix {}", settings.bus.prefix)?;
    let unnamed = if settings.rooms.default.is_some() {
        "allowed"
    } else {
        "refused"
    };
    let namespaces = count(settings.rooms.namespaces.len(), "namespace");
    writeln!(out, "  rooms  {namespaces}, rooms without one {unnamed}")?;
    let api = &settings.api;
    let written = api.keys.len()
        + api
            .scoped_keys
            .iter()
            .map(|entry| entry.keys.len())
            .sum::<usize>();
    let files = api.scoped_keys.iter().map(|entry| &entry.keys_file);
    let files = files.chain([&api.keys_file]).flatten().count();
    match (api.has_keys(), files) {
        (false, _) => writeln!(out, "  api    off"),
        (true, 0) => writeln!(out, "  api    on, {}", count(written, "key")),
        (true, files) => {
            let files = count(files, "file");
            writeln!(out, "  api    on, {} and those of {files}", count(written, "key"))
        }
    }
}

fn config_reference(file: Option<&Path>, out: &mut impl Write) -> io::Result<u8> {
    let Some(file) = file else {
        write!(out, "{}", config::table())?;
        return Ok(0);
    };
    rewrite(file, config::rewrite_reference).map(|()| 0)
}

/// Puts a fresh table between the marks of a document.
fn rewrite(file: &Path, fresh: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
    let document = fs::read_to_string(file)?;
    let marks = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} has no marks for the table", file.display()),
        )
    };
    fs::write(file, fresh(&document).ok_or_else(marks)?)
}

fn import_centrifugo(file: &Path, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let outcome = match migrate::read(file) {
        Ok(outcome) => outcome,
        Err(error) => {
            writeln!(err, "import-centrifugo: {}: {error}", file.display())?;
            return Ok(EX_USAGE);
        }
    };
    write!(out, "{}", outcome.config)?;
    for (what, notes) in [("not needed", &outcome.spared), ("not converted", &outcome.left)] {
        for note in notes {
            writeln!(err, "{what}: {}: {}", note.option, note.why)?;
        }
    }
    writeln!(
        err,
        "{} options: {} not converted, {} not needed",
        outcome.options,
        outcome.left.len(),
        outcome.spared.len()
    )?;
    Ok(if outcome.left.is_empty() { 0 } else { EX_FAILURE })
}

#[cfg(test)]
mod tests;
