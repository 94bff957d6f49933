//! The Secret with a cluster's tokens, which its gateways mount, and the one with the passwords of a managed NATS.
//!
//! They are applied and never read, so that the operator needs no right to read Secrets: when they were applied last is
//! remembered, and they are applied again when the month ends, when this operator is new, when the cluster gets a managed NATS,
//! when a gateway or a server of NATS does not run yet, and when a gateway refuses calls, since somebody may have removed or changed
//! one. So whoever starts finds it, though it may be away while nobody does.
//!
//! One of that name that is somebody else's is found out by a patch that changes nothing, and is answered with the metadata alone:
//! that needs no other right either.

use std::collections::HashMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use serde_json::json;

use super::Period;
use crate::{
    build::{ADMIN_KEY, GATEWAY_KEY, Names, OPERATOR, TOKEN_FILE, gateway_labels},
    controller::Context,
    error::{Error, is_not_found},
    validate::ValidCluster,
};

/// A cause for doubt, which may last, counts once in this time: the kubelet looks for a Secret that is missing about as often.
const AGAIN_SECONDS: i64 = 10;

/// What a cluster's Secrets hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    tokens: Period,
    /// There are passwords of a managed NATS.
    passwords: bool,
}

/// Remembers what each cluster's Secrets hold, by uid, and since when.
#[derive(Default)]
pub struct Secrets {
    applied: Mutex<HashMap<String, (Content, Timestamp)>>,
}

impl Secrets {
    /// Whether they have to be applied; `doubt`: somebody acts as if one were not there.
    fn is_due(&self, uid: &str, content: Content, doubt: bool, now: Timestamp) -> bool {
        match self.applied.lock().get(uid) {
            Some((applied, when)) => {
                let old = now.as_second() - when.as_second() >= AGAIN_SECONDS;
                *applied != content || doubt && old
            }
            None => true,
        }
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, uid: &str) {
        self.applied.lock().remove(uid);
    }

    /// Applies the Secrets if they are due.
    pub async fn ensure(
        &self,
        context: &Context,
        cluster: &ValidCluster,
        names: &Names,
        doubt: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let uid = &cluster.owner.uid;
        let held = Content {
            tokens: Period::of(now),
            passwords: cluster.nats.is_some(),
        };
        if !self.is_due(uid, held, doubt, now) {
            return Ok(());
        }
        let key = &context.token_key;
        let tokens = [(TOKEN_FILE, key.file(uid, held.tokens))].into();
        apply(context, secret(cluster, names.control(), tokens)).await?;
        if held.passwords {
            let passwords = [(GATEWAY_KEY, "gateway"), (ADMIN_KEY, "admin")]
                .map(|(entry, user)| (entry, key.nats_password(uid, user)));
            apply(context, secret(cluster, names.nats_users(), passwords.into())).await?;
        }
        context.metrics.acted("tokens", true);
        self.applied.lock().insert(uid.clone(), (held, now));
        Ok(())
    }
}

async fn apply(context: &Context, secret: Secret) -> Result<(), Error> {
    let (name, namespace) = (secret.name_any(), secret.namespace().unwrap_or_default());
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let uid = secret.owner_references().first().map(|owner| owner.uid.as_str());
    refuse_foreign(&api, uid.unwrap_or_default(), &name).await?;
    let parameters = PatchParams::apply(OPERATOR).force();
    let applied = api.patch(&name, &parameters, &Patch::Apply(&secret)).await;
    applied.map(drop).map_err(|source| Error::Tokens { name, source })
}

async fn refuse_foreign(api: &Api<Secret>, uid: &str, name: &str) -> Result<(), Error> {
    let nothing = Patch::Merge(json!({}));
    match api.patch_metadata(name, &PatchParams::default(), &nothing).await {
        Ok(found) if found.owner_references().iter().any(|owner| owner.uid == uid) => Ok(()),
        Ok(_) => Err(Error::NotOurs {
            kind: "Secret",
            name: name.to_owned(),
        }),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(source) => Err(Error::Tokens {
            name: name.to_owned(),
            source,
        }),
    }
}

fn secret(cluster: &ValidCluster, name: String, entries: Vec<(&str, String)>) -> Secret {
    let data = entries
        .into_iter()
        .map(|(entry, text)| (entry.to_owned(), ByteString(text.into_bytes())));
    Secret {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(cluster.namespace.clone()),
            labels: Some(gateway_labels(cluster)),
            owner_references: Some(vec![cluster.owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_applied_when_it_is_new_old_or_doubted() {
        let secrets = Secrets::default();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let of = |period, passwords| Content {
            tokens: Period(period),
            passwords,
        };
        let period = of(7, false);
        assert!(secrets.is_due("a", period, false, at(0)));
        secrets.applied.lock().insert("a".to_owned(), (period, at(0)));
        assert!(!secrets.is_due("a", period, false, at(1_000)));
        assert!(!secrets.is_due("a", period, true, at(9)), "not at each look");
        assert!(secrets.is_due("a", period, true, at(10)));
        assert!(secrets.is_due("a", of(8, false), false, at(1)));
        assert!(secrets.is_due("a", of(7, true), false, at(1)), "it gets a NATS");
        assert!(secrets.is_due("b", period, false, at(1)));
    }
}
