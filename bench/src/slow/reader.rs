//! A member that does not keep up, until it wakes.

use std::{future::pending, time::Duration};

use natter_websocket::client::frames::FrameError;
use tokio::{
    select,
    sync::watch,
    time::{sleep, timeout},
};

use crate::client::Client;

/// Who gets nothing for so long after waking, has all that there is.
const CAUGHT_UP: Duration = Duration::from_secs(2);
/// Of who was not cut.
pub(super) const STILL_THERE: &str = "still connected";

/// Reads what the receive buffer holds once `every` so long, or never; from when it is told that it is `awake`, all that there
/// is. Returns how the connection ended: the server's close code and reason, or what went wrong.
pub(super) async fn lag(
    mut client: Client,
    every: Option<Duration>,
    mut awake: watch::Receiver<bool>,
) -> String {
    loop {
        let read = async {
            match every {
                Some(every) => sleep(every).await,
                None => pending().await,
            }
            client.receive().await
        };
        select! {
            // Who can wake it may also go away.
            _ = awake.wait_for(|awake| *awake) => break,
            result = read => if let Err(error) = result {
                return ending(&error);
            },
        }
    }
    loop {
        match timeout(CAUGHT_UP, client.receive()).await {
            Err(_) => return STILL_THERE.to_owned(),
            Ok(Err(error)) => return ending(&error),
            Ok(Ok(())) => {}
        }
    }
}

fn ending(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(FrameError::Closed(code)) => code.clone(),
        _ => format!("{error:#}"),
    }
}
