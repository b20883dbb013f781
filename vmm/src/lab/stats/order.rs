//! What the order of values says of the median they come from, whatever their law: each of them is
//! below it with one half (David, Nagaraja: Order Statistics, 2003, section 7.1).

use super::interval::{Interval, LEVEL};

/// The narrowest interval between two of `values`, as many from the least as from the largest, that
/// holds the median with [`LEVEL`]; their range where no such interval does. `None` of no values.
pub(super) fn central(values: &[f64]) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (left_out, level) = left_out(sorted.len());
    let last = sorted.len().checked_sub(1)?;
    Some(Interval {
        low: *sorted.get(left_out)?,
        high: *sorted.get(last.checked_sub(left_out)?)?,
        level,
    })
}

/// How many of `count` values may be left out on either side, and with what probability the rest
/// has the median between them.
fn left_out(count: usize) -> (usize, f64) {
    // The share of all orders in which exactly so many values lie below the median: in logarithms,
    // for that of none may be too small for a number.
    let mut share = count as f64 * 0.5f64.ln();
    // In which more values than are left out lie on either side.
    let mut level = 1.0 - 2.0 * share.exp();
    let mut left_out = 0;
    for below in 1..=count / 2 {
        share += ((count - below + 1) as f64 / below as f64).ln();
        let narrower = level - 2.0 * share.exp();
        if narrower < LEVEL {
            break;
        }
        (left_out, level) = (below, narrower);
    }
    (left_out, level)
}

/// The probability that of `trials` at least `hits` come out by chance, each with `chance`.
pub fn tail(trials: usize, hits: usize, chance: f64) -> f64 {
    // In logarithms: the share of no hit at all may be too small for a number.
    let (hit, miss) = (chance.ln(), (-chance).ln_1p());
    let mut ways = 0.0f64;
    let mut sum = 0.0;
    for count in 0..=trials {
        if count > 0 {
            ways += ((trials - count + 1) as f64 / count as f64).ln();
        }
        if count >= hits {
            sum += (ways + count as f64 * hit + (trials - count) as f64 * miss).exp();
        }
    }
    f64::min(sum, 1.0)
}

#[cfg(test)]
#[path = "order_test.rs"]
mod tests;
