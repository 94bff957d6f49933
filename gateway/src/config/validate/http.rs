//! The public port: who is believed in front of it, its TLS, and what requests may take.

use super::{MAX_RATE, MOMENT};
use crate::config::{
    error::Problems,
    settings::{Settings, TlsSettings},
    units::{show_duration, show_size},
};

pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let http = &settings.http;
    tls(&http.tls, problems);
    if http.proxy_protocol && http.trusted_proxies.is_empty() && problems.sound(&["http.trusted_proxies"]) {
        let expected = "http.trusted_proxies with the networks of those who send it";
        problems.add("http.proxy_protocol", "true without trusted proxies", expected);
    }
    problems.duration("http.header_timeout", http.header_timeout, MOMENT);
    problems.within("http.handshake_limit", http.handshake_limit, 64..=MAX_RATE, |n| n);
    problems.within("api.rate_limit", settings.api.rate_limit, 0..=MAX_RATE, |n| n);
    problems.within(
        "api.wrong_key_limit",
        settings.api.wrong_key_limit,
        0..=MAX_RATE,
        |n| n,
    );
    problems.within(
        "http.header_max_size",
        http.header_max_size,
        1 << 10..=1 << 20,
        show_size,
    );
    problems.size("http.body_max_size", http.body_max_size, 1 << 10);
    problems.duration("http.request_timeout", http.request_timeout, MOMENT);
    revoking(settings, problems);
}

/// A call that revokes something may have to wait until a gateway that does not answer is without a lease: cut off before that it
/// would never succeed.
fn revoking(settings: &Settings, problems: &mut Problems) {
    let (timeout, needed) = (settings.http.request_timeout, settings.revocation.lease_is_over());
    let is_sound = problems.sound(&["http.request_timeout", "revocation.lease", "bus"]);
    if is_sound && settings.bus.nats.is_some() && timeout <= needed {
        let problem = format!("{} is too short for calls that revoke", show_duration(timeout));
        let expected = format!(
            "more than {}: revocation.lease and half a second",
            show_duration(needed)
        );
        problems.add("http.request_timeout", problem, expected);
    }
}

/// Without a certificate the rest would mean nothing.
fn tls(tls: &TlsSettings, problems: &mut Problems) {
    for (key, file) in [
        ("http.tls.certificate_file", &tls.certificate_file),
        ("http.tls.key_file", &tls.key_file),
        ("http.tls.client_ca_file", &tls.client_ca_file),
    ] {
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            problems.add(key, "empty", "the path of a file, or null");
        }
    }
    let expected = "certificate_file and key_file together";
    if tls.certificate_file.is_some() != tls.key_file.is_some() {
        problems.add("http.tls.certificate_file", "one without the other", expected);
    } else if tls.client_ca_file.is_some() && tls.certificate_file.is_none() {
        problems.add("http.tls.client_ca_file", "without a certificate", expected);
    }
}
