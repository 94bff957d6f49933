//! Logging in at NATS with files: credentials, seeds, certificates.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use natter_gateway::bus::{BusStatus, NatsFiles};
use natter_tests::{
    nats::{NatsBuilder, NatsServer},
    wait::eventually,
};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{LIMIT, Node, config};

/// A message goes to the server and back.
async fn talks(node: &Node) -> Result<()> {
    node.subscribe("room").await?;
    node.publish("room", "hello")?;
    node.expect("room", "hello").await
}

/// The server refuses the node, or the node the server, and it tries again.
async fn is_turned_away(node: &Node) -> Result<()> {
    let failed = || node.counted("natter_bus_errors_total", &[("kind", "connection")]);
    let before = failed()?;
    eventually("another connection failed", LIMIT, async || {
        ensure!(failed()? > before, "none failed yet");
        Ok(())
    })
    .await?;
    ensure!(*node.bus.status().borrow() != BusStatus::Up, "it is connected");
    Ok(())
}

fn with(files: NatsFiles, server: &NatsServer) -> Result<natter_gateway::bus::NatsConfig> {
    let mut config = config(&server.url(), "login")?;
    config.files = files;
    Ok(config)
}

fn credentials(file: &Path) -> NatsFiles {
    NatsFiles {
        credentials: Some(file.to_owned()),
        ..NatsFiles::default()
    }
}

#[tokio::test]
async fn a_seed_logs_in_and_a_file_that_is_renewed_is_read_again() -> Result<()> {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let authorization = format!("authorization {{ users: [{{ nkey: {} }}] }}", user.public_key());
    let server = NatsServer::builder().config(&authorization).start().await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("user.nk");
    fs::write(&file, other.seed()?)?;
    let node = Node::connecting(with(credentials(&file), &server)?).await?;
    is_turned_away(&node).await?;
    fs::write(&file, user.seed()? + "\n")?;
    node.wait(BusStatus::Up).await?;
    talks(&node).await
}

#[tokio::test]
async fn a_file_without_a_seed_or_none_at_all_is_tried_again() -> Result<()> {
    let user = KeyPair::new_user();
    let authorization = format!("authorization {{ users: [{{ nkey: {} }}] }}", user.public_key());
    let server = NatsServer::builder().config(&authorization).start().await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("user.creds");
    let node = Node::connecting(with(credentials(&file), &server)?).await?;
    is_turned_away(&node).await?;
    fs::write(&file, "nothing\n")?;
    is_turned_away(&node).await?;
    fs::write(&file, user.seed()?)?;
    node.wait(BusStatus::Up).await?;
    talks(&node).await
}

#[tokio::test]
async fn a_creds_file_logs_in_at_an_operator_mode_server() -> Result<()> {
    let (operator, account, user) = (
        KeyPair::new_operator(),
        KeyPair::new_account(),
        KeyPair::new_user(),
    );
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1});
    let of_operator = jwt(&operator, &operator, &json!({"type": "operator", "version": 2}))?;
    let of_account = jwt(
        &operator,
        &account,
        &json!({"type": "account", "version": 2, "limits": limits}),
    )?;
    let of_user = jwt(
        &account,
        &user,
        &json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}),
    )?;
    let server = NatsServer::builder()
        .config(&format!(
            "operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {of_account} }}",
            account.public_key()
        ))
        .start()
        .await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("user.creds");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\
         NKEY Seed printed below can be used to sign and prove identity.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()?
    );
    fs::write(&file, text)?;
    talks(&Node::nats(with(credentials(&file), &server)?).await?).await
}

/// A JWT of NATS (ADR-14): signed with Ed25519 by the issuer's `NKey`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> Result<String> {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({
        "jti": "test", "iat": 1_700_000_000, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = issuer.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// An authority with what it signed, as files.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn make() -> Result<Self> {
        let folder = TempDir::new()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, TlsKey::generate()?)?;
        fs::write(folder.path().join("ca.pem"), authority.pem())?;
        for name in ["server", "client"] {
            let mut params = CertificateParams::default();
            params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
            let key = TlsKey::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem())?;
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A server that shows a certificate and wants to see one.
    fn server(&self) -> NatsBuilder {
        let path = |name: &str| self.path(name).display().to_string();
        NatsServer::builder().config(&format!(
            "tls {{ cert_file: '{}', key_file: '{}', ca_file: '{}', verify: true }}",
            path("server.pem"),
            path("server.key"),
            path("ca.pem")
        ))
    }
}

#[tokio::test]
async fn both_sides_show_their_certificates() -> Result<()> {
    let certificates = Certificates::make()?;
    let server = certificates.server().start().await?;
    let files = |authority: &Certificates, shown: bool| NatsFiles {
        authority: Some(authority.path("ca.pem")),
        certificate: shown.then(|| (certificates.path("client.pem"), certificates.path("client.key"))),
        ..NatsFiles::default()
    };
    talks(&Node::nats(with(files(&certificates, true), &server)?).await?).await?;
    let without = Node::connecting(with(files(&certificates, false), &server)?).await?;
    is_turned_away(&without).await.context("without a certificate")?;
    let stranger = Certificates::make()?;
    let wrong = Node::connecting(with(files(&stranger, true), &server)?).await?;
    is_turned_away(&wrong).await.context("under another authority")
}

/// Who trusts an authority does not talk in the open.
#[tokio::test]
async fn a_server_without_tls_is_refused_by_who_names_an_authority() -> Result<()> {
    let certificates = Certificates::make()?;
    let server = NatsServer::start().await?;
    let files = NatsFiles {
        authority: Some(certificates.path("ca.pem")),
        ..NatsFiles::default()
    };
    is_turned_away(&Node::connecting(with(files, &server)?).await?).await
}
