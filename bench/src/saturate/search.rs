//! Which rate to try next: first up in coarse steps until one is too high, then by halves of what is between.

/// How far below the first rate the search goes when that was too high.
const LOWEST: f64 = 1.0 / 64.0;

#[derive(Debug)]
pub(super) struct Search {
    first: f64,
    coarse: f64,
    fine: f64,
    sustained: Option<f64>,
    too_high: Option<f64>,
}

impl Search {
    /// `coarse` and `fine` are the factors between the rates of two steps, in the beginning and in the end.
    pub(super) fn new(first: f64, coarse: f64, fine: f64) -> Self {
        Self {
            first,
            coarse,
            fine,
            sustained: None,
            too_high: None,
        }
    }

    /// `None` when the answer is known as closely as it was asked for.
    pub(super) fn next(&self) -> Option<f64> {
        match (self.sustained, self.too_high) {
            (None, None) => Some(self.first),
            (Some(rate), None) => Some(rate * self.coarse),
            (None, Some(rate)) => (rate > self.first * LOWEST).then_some(rate / 2.0),
            (Some(low), Some(high)) => (high / low > self.fine).then(|| (low * high).sqrt()),
        }
    }

    pub(super) fn tried(&mut self, rate: f64, is_sustained: bool) {
        if is_sustained {
            self.sustained = Some(rate);
        } else {
            self.too_high = Some(rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates that were tried for a server that sustains `most`.
    fn rates(most: f64) -> (Vec<f64>, Option<f64>) {
        let mut search = Search::new(200.0, 1.5, 1.08);
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            search.tried(rate, rate <= most);
            rates.push(rate);
        }
        (rates, search.sustained)
    }

    #[test]
    fn the_highest_rate_is_found_within_the_fine_step() {
        for most in [4.0, 150.0, 200.0, 1_234.0] {
            let found = rates(most).1.unwrap();
            assert!(found <= most && found * 1.08 > most, "{found} for {most}");
        }
        assert_eq!(rates(460.0).0.len(), 4 + 3);
    }

    #[test]
    fn a_server_that_sustains_nothing_ends_the_search() {
        let (rates, sustained) = rates(0.0);
        assert_eq!((rates.len(), sustained), (7, None));
    }
}
