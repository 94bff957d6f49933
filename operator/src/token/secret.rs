//! The Secret with a cluster's tokens, which its gateways mount.
//!
//! It is applied and never read, so that the operator needs no right to read Secrets: when it was applied last is remembered,
//! and it is applied again when the month ends, when this operator is new, and when a gateway does not run yet or refuses calls,
//! since somebody may have removed or changed it. So whoever needs it finds it, though it may be away while nobody does.
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
    build::{Names, OPERATOR, TOKEN_FILE, gateway_labels},
    controller::Context,
    error::{Error, is_not_found},
    validate::ValidCluster,
};

/// A cause for doubt counts once in this time: the kubelet tries to mount a Secret that is missing about as often.
const AGAIN_SECONDS: i64 = 10;

/// Remembers which tokens each cluster's Secret holds, by uid, and since when.
#[derive(Default)]
pub struct Secrets {
    applied: Mutex<HashMap<String, (Period, Timestamp)>>,
}

impl Secrets {
    /// Whether the Secret has to be applied; `doubt`: gateways act as if it were not there.
    fn is_due(&self, uid: &str, period: Period, doubt: bool, now: Timestamp) -> bool {
        match self.applied.lock().get(uid) {
            Some((applied, when)) => {
                let old = now.as_second() - when.as_second() >= AGAIN_SECONDS;
                *applied != period || doubt && old
            }
            None => true,
        }
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, uid: &str) {
        self.applied.lock().remove(uid);
    }

    /// Applies the Secret if it is due.
    pub async fn ensure(
        &self,
        context: &Context,
        cluster: &ValidCluster,
        names: &Names,
        doubt: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (uid, period) = (&cluster.owner.uid, Period::of(now));
        if !self.is_due(uid, period, doubt, now) {
            return Ok(());
        }
        let name = names.control();
        let secret = secret(cluster, &name, context.token_key.file(uid, period));
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &cluster.namespace);
        refuse_foreign(&api, uid, &name).await?;
        let parameters = PatchParams::apply(OPERATOR).force();
        api.patch(&name, &parameters, &Patch::Apply(&secret))
            .await
            .map_err(|source| Error::Tokens { name, source })?;
        context.metrics.acted("tokens", true);
        self.applied.lock().insert(uid.clone(), (period, now));
        Ok(())
    }
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

fn secret(cluster: &ValidCluster, name: &str, tokens: String) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(cluster.namespace.clone()),
            labels: Some(gateway_labels(cluster)),
            owner_references: Some(vec![cluster.owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some([(TOKEN_FILE.to_owned(), ByteString(tokens.into_bytes()))].into()),
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
        let period = Period(7);
        assert!(secrets.is_due("a", period, false, at(0)));
        secrets.applied.lock().insert("a".to_owned(), (period, at(0)));
        assert!(!secrets.is_due("a", period, false, at(1_000)));
        assert!(!secrets.is_due("a", period, true, at(9)), "not at each look");
        assert!(secrets.is_due("a", period, true, at(10)));
        assert!(secrets.is_due("a", Period(8), false, at(1)));
        assert!(secrets.is_due("b", period, false, at(1)));
    }
}
