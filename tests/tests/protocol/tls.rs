//! TLS of the public port: who speaks it is served as everybody, who does not is cut and counted, and certificates change while
//! clients stay.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::tls::{Authority, Identity, ask, connect};
use natter_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::scene::LIMIT;

/// The end of 2099 and of 2098 as Unix times.
const END_2099: f64 = 4_102_358_400.0;
const END_2098: f64 = 4_070_822_400.0;

/// A gateway with TLS, and who signed its certificate.
struct Secure {
    gateway: Gateway,
    folder: TempDir,
    authority: Authority,
}

impl Secure {
    /// `tls` is more YAML for `http.tls`, `rest` for the whole.
    async fn start(tls: &str, rest: &str) -> Result<Self> {
        Self::start_within("10s", tls, rest).await
    }

    /// As [`Secure::start`]; a handshake may take so long.
    async fn start_within(limit: &str, tls: &str, rest: &str) -> Result<Self> {
        let (folder, authority) = (tempfile::tempdir()?, Authority::new()?);
        authority.issue(2099)?.write(folder.path(), "server")?;
        std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "api: {{keys: [{API_KEY}]}}\nlog: {{level: 'info,natter_gateway=debug'}}\n\
             http: {{header_timeout: {limit}, tls: {{certificate_file: '{}', key_file: '{}', {}}}}}\n{rest}",
            path("server.pem"),
            path("server.key"),
            tls.replace("{ca}", &path("ca.pem")),
        );
        let gateway = Gateway::builder().config(&config).start().await?;
        Ok(Self {
            gateway,
            folder,
            authority,
        })
    }

    fn trusting(&self) -> Result<ClientConfig> {
        self.authority.client(None)
    }

    async fn client(&self, config: &ClientConfig) -> Result<Client> {
        let address = self.gateway.public();
        let stream = connect(address, config).await?;
        let mut client = Client::on_stream(stream, format!("wss://{address}/connection/websocket")).await?;
        client.request(json!({ "connect": {} })).await?;
        Ok(client)
    }

    async fn member(&self, channel: &str) -> Result<Client> {
        let mut client = self.client(&self.trusting()?).await?;
        let reply = client
            .request(json!({ "subscribe": { "channel": channel } }))
            .await?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
        Ok(client)
    }

    async fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(self.gateway.metrics().await?.value(name, labels).unwrap_or(0.0))
    }

    /// Waits until handshakes have failed so often in this way, and checks that it is the only one.
    async fn failed(&self, kind: &str, times: f64) -> Result<()> {
        let name = "natter_handshake_failures_total";
        eventually(&format!("{kind} is counted"), LIMIT, async || {
            let counted = self.value(name, &[("kind", kind)]).await?;
            ensure!((counted - times).abs() < 0.5, "{counted}");
            Ok(())
        })
        .await?;
        let all = self.value(name, &[]).await?;
        ensure!((all - times).abs() < 0.5, "{kind}: {all} of all kinds");
        Ok(())
    }

    /// What becomes of bytes that are no handshake: all that is answered.
    async fn answer(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.gateway.public()).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer))
            .await
            .context("the socket is kept")?;
        Ok(answer)
    }

    async fn reloads(&self, result: &str, times: f64) -> Result<()> {
        // Files are read every 5 s.
        eventually(&format!("{times} changes {result}"), 3 * LIMIT, async || {
            let counted = self
                .value("natter_tls_reloads_total", &[("result", result)])
                .await?;
            // A file that is looked at while it is written counts as well.
            ensure!(counted > times - 0.5, "{counted}");
            Ok(())
        })
        .await
    }
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn clients_the_page_and_backends_are_served_over_tls() -> Result<()> {
    let secure = Secure::start("", "client: {message_size_limit: 2MiB, queue_max_size: 8MiB}\n").await?;
    let (mut ann, mut bob) = (secure.member("room").await?, secure.member("room").await?);
    // From one record to many, of which the kernel takes some at once.
    for size in [1, 16 * 1024, 100_000, 500_000] {
        let data = json!([size, "x".repeat(size)]);
        ann.request(json!({ "publish": { "channel": "room", "data": data } }))
            .await?;
        for client in [&mut ann, &mut bob] {
            ensure!(client.push().await?["pub"]["data"] == data, "{size}");
        }
    }
    let trusting = secure.trusting()?;
    let address = secure.gateway.public();
    let page = ask(address, &trusting, &request("GET", "/", "", "")).await?;
    ensure!(page.starts_with("HTTP/1.1 200 "), "{page}");
    ensure!(
        !page.contains("strict-transport-security"),
        "of localhost: {page}"
    );
    let elsewhere = request("GET", "/", "", "").replace("localhost", "chat.example");
    let page = ask(address, &trusting, &elsewhere).await?;
    ensure!(
        page.contains("strict-transport-security: max-age=31536000\r\n"),
        "{page}"
    );
    let key = format!("X-API-Key: {API_KEY}\r\n");
    let call = json!({ "channel": "room", "data": "from a backend" }).to_string();
    let called = ask(address, &trusting, &request("POST", "/api/publish", &key, &call)).await?;
    ensure!(called.contains("\"result\""), "{called}");
    ensure!(
        bob.push().await?["pub"]["data"] == "from a backend",
        "the backend's"
    );
    ann.close().await?;
    secure.failed("closed", 0.0).await
}

/// Also those of connections that do not come about, and of streams.
#[tokio::test]
async fn every_answer_but_an_upgrade_has_the_headers_of_tls() -> Result<()> {
    let secure = Secure::start("", "").await?;
    let (trusting, address) = (secure.trusting()?, secure.gateway.public());
    let allowed = "Origin: https://chat.example\r\n";
    let nobody = json!({ "id": 1, "connect": { "token": "nobody can check it" } }).to_string();
    for (method, path, headers, body, status) in [
        ("GET", "/connection/websocket", "", "", "400"),
        ("OPTIONS", "/emulation", allowed, "", "204"),
        ("POST", "/connection/http_stream", allowed, nobody.as_str(), "200"),
    ] {
        let elsewhere = request(method, path, headers, body).replace("localhost", "chat.example");
        let answer = ask(address, &trusting, &elsewhere).await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        for header in [
            "x-content-type-options: nosniff\r\n",
            "strict-transport-security: max-age=31536000\r\n",
        ] {
            ensure!(answer.contains(header), "{path}: {answer}");
        }
    }
    Ok(())
}

/// What a reader leaves unread waits within its queue, and reaches it whole when it reads again.
#[tokio::test]
async fn a_reader_that_pauses_gets_everything_and_one_that_stays_away_is_cut() -> Result<()> {
    let secure = Secure::start("", "client: {queue_max_size: 8MiB}\n").await?;
    let (mut writer, mut pausing) = (
        secure.client(&secure.trusting()?).await?,
        secure.member("room").await?,
    );
    let text = "x".repeat(50_000);
    let mut said = 0_u32;
    let mut say = async |count: u32| -> Result<()> {
        for _ in 0..count {
            let publish = json!({ "publish": { "channel": "room", "data": [said, text] } });
            let reply = writer.request(publish).await?;
            ensure!(reply.get("publish").is_some(), "{reply}");
            said += 1;
        }
        Ok(())
    };
    // More than the kernel's buffers take, less than the queue.
    say(140).await?;
    for number in 0..140 {
        let push = pausing.push().await?;
        ensure!(push["pub"]["data"] == json!([number, text]), "{number} was due");
    }
    let cut = [("reason", "slow")];
    for round in 0.. {
        if secure.value("natter_disconnects_total", &cut).await? > 0.5 {
            break;
        }
        ensure!(round < 50, "a reader that takes nothing is not cut");
        say(20).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_handshake_is_cut_and_counted() -> Result<()> {
    let secure = Secure::start("", "").await?;
    let mut count = 0.0;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"\x16\x03\x01\x00\x05hello",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    ] {
        let answer = secure.answer(garbage).await?;
        ensure!(!answer.starts_with(b"HTTP/"), "in plain: {answer:?}");
        count += 1.0;
        secure.failed("tls_malformed", count).await?;
    }
    secure.member("room").await?;
    Ok(())
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_in_time() -> Result<()> {
    let secure = Secure::start_within("300ms", "", "").await?;
    // Nothing, the beginning of a record, and one that trickles in.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        secure.answer(bytes).await?;
    }
    let mut trickle = TcpStream::connect(secure.gateway.public()).await?;
    trickle
        .write_all(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
        .await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    timeout(LIMIT, async {
        while trickle.write_all(b"\0").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await
    .context("a handshake may take for ever")?;
    secure.failed("tls_timeout", 3.0).await
}

#[tokio::test]
async fn who_has_nothing_in_common_or_no_trust_is_counted_as_such() -> Result<()> {
    let secure = Secure::start("", "").await?;
    let mut modern = secure.trusting()?;
    modern.alpn_protocols = vec![b"h2".to_vec()];
    ensure!(
        connect(secure.gateway.public(), &modern).await.is_err(),
        "h2 is not spoken"
    );
    secure.failed("tls_unacceptable", 1.0).await?;
    let mistrusting = Authority::new()?.client(None)?;
    ensure!(
        connect(secure.gateway.public(), &mistrusting).await.is_err(),
        "not trusted"
    );
    eventually("the alert is counted", LIMIT, async || {
        let rejected = secure
            .value("natter_handshake_failures_total", &[("kind", "tls_rejected")])
            .await?;
        ensure!(rejected > 0.5, "{rejected}");
        Ok(())
    })
    .await?;
    secure.member("room").await?;
    Ok(())
}

#[tokio::test]
async fn clients_show_a_certificate_where_they_have_to() -> Result<()> {
    let secure = Secure::start("client_ca_file: '{ca}'", "").await?;
    let known = secure.authority.issue(2099)?;
    secure.client(&secure.authority.client(Some(&known))?).await?;
    let stranger = Authority::new()?.issue(2099)?;
    for config in [secure.trusting()?, secure.authority.client(Some(&stranger))?] {
        ensure!(secure.client(&config).await.is_err(), "let in");
    }
    secure.failed("tls_unacceptable", 2.0).await
}

#[tokio::test]
async fn a_new_certificate_is_for_new_clients_and_a_broken_one_for_nobody() -> Result<()> {
    let secure = Secure::start("", "").await?;
    let expiry = "natter_tls_certificate_expiry_seconds";
    ensure!(
        (secure.value(expiry, &[]).await? - END_2099).abs() < 1.0,
        "the end of 2099"
    );
    let mut before = secure.member("room").await?;

    let next = secure.authority.issue(2098)?;
    next.write(secure.folder.path(), "server")?;
    // The two files may have been read in between: then the one that fits came a moment later.
    secure.reloads("applied", 1.0).await?;
    ensure!(
        (secure.value(expiry, &[]).await? - END_2098).abs() < 1.0,
        "the end of 2098"
    );
    ensure!(
        shown(&secure).await? == der(&next)?,
        "the old certificate is shown"
    );
    let refused = secure
        .value("natter_tls_reloads_total", &[("result", "refused")])
        .await?;

    std::fs::write(secure.folder.path().join("server.key"), "garbage of a secret key")?;
    secure.reloads("refused", refused + 1.0).await?;
    ensure!(shown(&secure).await? == der(&next)?, "a broken pair is shown");
    std::fs::remove_file(secure.folder.path().join("server.pem"))?;
    secure.reloads("refused", refused + 2.0).await?;
    ensure!(
        (secure.value(expiry, &[]).await? - END_2098).abs() < 1.0,
        "it was taken"
    );
    let logs = secure.gateway.logs();
    let told = logs
        .iter()
        .filter(|line| line.message() == "the public port keeps its certificate");
    let told = f64::from(u32::try_from(told.count())?);
    ensure!(told > refused + 1.5, "a broken pair is not told");
    ensure!(!format!("{logs:?}").contains("garbage of"), "the log shows a key");

    before
        .request(json!({ "publish": { "channel": "room", "data": "still here" } }))
        .await?;
    ensure!(
        before.push().await?["pub"]["data"] == "still here",
        "an open connection"
    );
    Ok(())
}

/// The certificate that a new connection is shown.
async fn shown(secure: &Secure) -> Result<Vec<u8>> {
    let stream = connect(secure.gateway.public(), &secure.trusting()?).await?;
    let chain = stream.get_ref().1.peer_certificates().context("no certificate")?;
    Ok(chain.first().context("no certificate")?.to_vec())
}

fn der(identity: &Identity) -> Result<Vec<u8>> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    Ok(CertificateDer::from_pem_slice(identity.certificate.as_bytes())?.to_vec())
}

#[tokio::test]
async fn a_gateway_does_not_start_on_files_that_it_cannot_use() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let (one, other) = (authority.issue(2099)?, authority.issue(2099)?);
    one.write(folder.path(), "one")?;
    other.write(folder.path(), "other")?;
    std::fs::write(folder.path().join("empty.pem"), "")?;
    for (certificate, key, reason) in [
        ("missing.pem", "one.key", "cannot read"),
        ("empty.pem", "one.key", "no certificate in PEM"),
        ("one.pem", "one.pem", "no private key in PEM"),
        ("one.pem", "other.key", "cannot be used"),
    ] {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "http: {{tls: {{certificate_file: '{}', key_file: '{}'}}}}\n",
            path(certificate),
            path(key)
        );
        let ended = Gateway::builder()
            .config(&config)
            .run(&["--config", "{config}"], LIMIT)
            .await?;
        let said = ended.stderr.join("\n");
        ensure!(
            !ended.status.success() && said.contains(reason),
            "{certificate} {key}: {said}"
        );
    }
    Ok(())
}
