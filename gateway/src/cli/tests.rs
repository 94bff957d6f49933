use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use super::{Cli, EX_FAILURE, EX_USAGE, check_config, config_reference, exit_code, import_centrifugo};
use crate::config::{Environment, Settings};

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["natter-gateway"], arguments].concat())
}

fn load(arguments: &[&str]) -> Settings {
    parse(arguments)
        .unwrap()
        .loader_in(Environment::default())
        .load()
        .unwrap()
}

/// Exit code, standard output and standard error of `check-config`.
fn check(arguments: &[&str]) -> (u8, String, String) {
    let cli = parse(&[&["check-config"], arguments].concat()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check_config(&cli.loader_in(Environment::default()), &mut out, &mut err).unwrap();
    (
        code,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

#[test]
fn clap_accepts_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn flags_reach_the_settings() {
    let settings = load(&[
        "--listen=127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:1",
        "--workers",
        "3",
        "--nats",
        "nats://a",
        "--nats",
        "tls://b:1",
        "--log-level",
        "debug",
        "--log-format",
        "json",
        "--set",
        "client.channel_limit=5",
        "--set",
        "workers=4",
    ]);
    assert_eq!(
        (
            settings.listen.port(),
            settings.ops_listen.port(),
            settings.workers
        ),
        (0, 1, 4)
    );
    assert_eq!(settings.bus.nats.unwrap().servers.len(), 2);
    assert_eq!(
        (settings.log.level.as_str(), settings.client.channel_limit),
        ("debug", 5)
    );
    assert_eq!(
        parse(&["-c", "a.yaml"])
            .unwrap()
            .loader_in(Environment::default())
            .file()
            .unwrap(),
        "a.yaml"
    );
}

#[test]
fn without_a_subcommand_the_gateway_runs() {
    assert_eq!(parse(&[]).unwrap().answer(), None);
}

#[test]
fn a_wrong_command_line_exits_like_a_wrong_configuration() {
    for wrong in [
        &["--bogus"][..],
        &["bogus"],
        &["--workers"],
        &["--listen", "x", "check-config"],
    ] {
        let error = parse(wrong).err().unwrap();
        assert_eq!(exit_code(&error), EX_USAGE, "{wrong:?}");
    }
    for (right, kind) in [
        ("--help", ErrorKind::DisplayHelp),
        ("--version", ErrorKind::DisplayVersion),
    ] {
        let error = parse(&[right]).err().unwrap();
        assert_eq!((exit_code(&error), error.kind()), (0, kind));
    }
}

#[test]
fn help_says_what_a_person_needs() {
    let help = Cli::command().render_long_help().to_string();
    for part in [
        "Configuration:",
        "Gateway:",
        "Logs:",
        "Examples:",
        "Environment:",
        "Exit codes:",
        "check-config",
        "NATTER_CONFIG",
    ] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
    assert!(!help.contains("config-reference"), "{help}");
}

#[test]
fn check_config_says_valid_and_what_it_means() {
    let (code, out, err) = check(&[
        "--set",
        "node_name=n",
        "--workers=1",
        "--nats=nats://joe:hunter2@h",
        "--set",
        "api.keys=[k]",
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "configuration is valid\n\
         \x20 node   n, 1 worker\n\
         \x20 listen 127.0.0.1:8000, clients without a user id allowed\n\
         \x20 ops    127.0.0.1:9000\n\
         \x20 bus    nats://***@h:4222, prefix natter\n\
         \x20 rooms  0 namespaces, rooms without one allowed\n\
         \x20 api    on, 1 key\n"
    );
}

#[test]
fn check_config_prints_every_error_and_exits_64() {
    let (code, out, err) = check(&["--workers=many", "--set", "listn=1"]);
    assert_eq!((code, out.as_str()), (EX_USAGE, ""));
    assert_eq!(
        err,
        "workers: \"many\" is not a whole number (digits, such as 128), set by --workers\n\
         listn: unknown key (did you mean listen?), set by --set\n"
    );
}

#[test]
fn the_reference_is_printed_or_written_between_its_marks() {
    let mut out = Vec::new();
    assert_eq!(config_reference(None, &mut out).unwrap(), 0);
    assert!(String::from_utf8(out).unwrap().starts_with("| key |"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "no marks").unwrap();
    assert!(config_reference(Some(file.path()), &mut Vec::new()).is_err());
}

#[test]
fn an_import_says_by_its_code_whether_all_was_converted() {
    let import = |text: &str| {
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::fs::write(&file, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = import_centrifugo(file.path(), &mut out, &mut err).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    };
    let (code, out, err) =
        import(r#"{"client": {"insecure": true, "channel_limit": 9}, "sse": {"enabled": true}}"#);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.parse::<Settings>().unwrap().client.channel_limit, 9);
    assert_eq!(
        err,
        "not needed: sse.enabled: always on\n3 options: 0 not converted, 1 not needed\n"
    );

    let (code, out, err) = import(r#"{"client_insecure": true, "chanel": 1}"#);
    assert_eq!(code, EX_FAILURE);
    assert!(out.parse::<Settings>().is_ok());
    assert!(err.starts_with("not converted: chanel: unknown"), "{err}");

    assert_eq!(import("[").0, EX_USAGE);
}
