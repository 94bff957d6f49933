//! What rolls and scaling keep to, from the spec.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Drain, Invalid, quantity};
use crate::{
    api::{ChatClusterSpec, scaling::Scaling, text::DurationText},
    scaling::{Automatic, Ceilings, Size},
    steer::Course,
};

pub(super) fn of(spec: &ChatClusterSpec, drain: Drain) -> Result<Course, Invalid> {
    let size = match &spec.scaling {
        None => Size::Fixed(whole(spec.gateways.replicas)),
        Some(scaling) => Size::Automatic(automatic(scaling)?),
    };
    let rebalance = &spec.rebalance;
    Ok(Course {
        size,
        max_surge: spec.rollout.max_surge.map(whole),
        ready_timeout: duration(&spec.rollout.ready_timeout, "rollout.readyTimeout")?,
        rate: f64::from(spec.reconnects_per_second),
        settle: drain.accept,
        skew_percent: rebalance
            .enabled
            .then(|| u64::try_from(rebalance.skew_percent).unwrap_or_default()),
    })
}

fn automatic(scaling: &Scaling) -> Result<Automatic, Invalid> {
    let cpu = scaling.ceilings.cpu.as_ref().map(|quantity| {
        quantity::cores(quantity).ok_or_else(|| unreadable("scaling.ceilings.cpu", quantity))
    });
    let memory = scaling.ceilings.memory.as_ref().map(|quantity| {
        quantity::bytes(quantity).ok_or_else(|| unreadable("scaling.ceilings.memory", quantity))
    });
    let ceilings = Ceilings {
        connections: u64::try_from(scaling.connections_per_gateway).unwrap_or_default(),
        cpu: cpu.transpose()?,
        memory: memory.transpose()?,
    };
    // Nothing is carried by a gateway that shall use nothing.
    if ceilings.cpu.is_some_and(|cores| cores <= 0.0) || ceilings.memory == Some(0) {
        return Err(Invalid::Field {
            field: "scaling.ceilings",
            problem: "a ceiling is above 0".to_owned(),
        });
    }
    Ok(Automatic {
        min: whole(scaling.min_replicas),
        max: whole(scaling.max_replicas),
        ceilings,
        window: duration(&scaling.scale_down_window, "scaling.scaleDownWindow")?,
    })
}

fn whole(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn duration(text: &DurationText, field: &'static str) -> Result<Duration, Invalid> {
    text.parse().ok_or_else(|| Invalid::Field {
        field,
        problem: format!("{:?} is not a duration", text.0),
    })
}

fn unreadable(field: &'static str, quantity: &Quantity) -> Invalid {
    Invalid::Field {
        field,
        problem: format!("{:?} is not a quantity", quantity.0),
    }
}
