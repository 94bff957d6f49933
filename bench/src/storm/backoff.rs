//! When a client tries again, as centrifuge-js does: at least 0.5 s later, at most 20 s, by full jitter between that and twice as
//! much after each failure. So those who were cut together do not come back together.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(20);

/// Before the next attempt, when so many have failed since the client was connected.
pub(super) fn delay(failed: u32) -> Duration {
    let doubled = 2_u32.checked_pow(failed).unwrap_or(u32::MAX);
    let jitter = SHORTEST.saturating_mul(doubled).min(LONGEST);
    (SHORTEST + jitter.mul_f64(fastrand::f64())).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_bounds() {
        let longest = |failed| (0..200).map(|_| delay(failed)).max().unwrap();
        let shortest = |failed| (0..200).map(|_| delay(failed)).min().unwrap();
        assert!(longest(0) <= Duration::from_secs(1));
        assert!(longest(3) <= Duration::from_millis(4_500));
        for failed in [0, 3, 10, 40] {
            assert!(shortest(failed) >= SHORTEST && longest(failed) <= LONGEST);
        }
    }
}
