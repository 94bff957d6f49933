use std::{collections::BTreeSet, fs};

use serde_yaml_ng::Value;

use crate::config::{
    ApiKeySettings, HistoryOptions, IssuerSettings, Namespace, NatsSettings, ProxySettings,
    environment::variable, raw::RawSettings, rewrite_reference, schema::KEYS, table,
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

#[test]
fn the_document_has_the_present_table() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let fresh = rewrite_reference(&document).expect("the marks of the table");
    assert!(
        document == fresh,
        "run: cargo run -p natter-gateway -- config-reference docs/configuration.md"
    );
}

#[test]
fn every_field_is_a_key_with_a_variable_and_a_line() {
    let mut fields = BTreeSet::new();
    let root = serde_yaml_ng::to_value(RawSettings::default()).unwrap();
    collect("", &root, &mut fields);
    collect(
        "bus.nats",
        &serde_yaml_ng::to_value(NatsSettings::default()).unwrap(),
        &mut fields,
    );
    collect(
        "rooms.namespaces[]",
        &serde_yaml_ng::to_value(Namespace::default()).unwrap(),
        &mut fields,
    );
    collect(
        "proxies[]",
        &serde_yaml_ng::to_value(ProxySettings::default()).unwrap(),
        &mut fields,
    );
    collect(
        "api.scoped_keys[]",
        &serde_yaml_ng::to_value(ApiKeySettings::default()).unwrap(),
        &mut fields,
    );
    collect(
        "tokens[]",
        &serde_yaml_ng::to_value(IssuerSettings::default()).unwrap(),
        &mut fields,
    );
    let history = serde_yaml_ng::to_value(HistoryOptions::default()).unwrap();
    for rooms in ["rooms.default", "rooms.namespaces[]"] {
        collect(&format!("{rooms}.history"), &history, &mut fields);
    }
    fields.insert("rooms.default".to_owned());
    let keys: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(keys, fields);
    let table = table();
    for key in KEYS {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", key.path)))
            .unwrap();
        assert!(
            key.path.contains("[]") || row.contains(&format!("`{}`", variable(key.path))),
            "{row}"
        );
        assert!(!row.contains("| ? |") && row.ends_with(". |"), "{row}");
    }
}

fn collect(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    let Value::Mapping(map) = value else {
        fields.insert(path.to_owned());
        return;
    };
    for (key, value) in map {
        let name = key.as_str().unwrap();
        collect(
            &if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            },
            value,
            fields,
        );
    }
}
