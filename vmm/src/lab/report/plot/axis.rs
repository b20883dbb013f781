//! One axis: from values to places, and which of them are labelled.

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    /// Decades are equally long.
    Log,
}

/// One axis. Places are linear: values, or their decadic logarithms.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it measures.
    pub(super) label: String,
    scale: Scale,
    /// First and last place.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Places with their labels, rising.
    pub(super) ticks: Vec<(f64, String)>,
    /// How the labels stand.
    pub(super) rows: Rows,
}

/// How the labels of an x axis stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All in a row.
    One,
    /// Every other one in a second row below, because they are long.
    Two,
}

/// The values that an axis has to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span(Vec<f64>);

impl Span {
    /// One more value.
    pub(crate) fn add(&mut self, value: f64) {
        // What cannot be shown must not spoil the rest.
        if value.abs() < 1e200 {
            self.0.push(value);
        }
    }

    fn ends(&self) -> (f64, f64) {
        let low = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low <= high { (low, high) } else { (0.0, 1.0) }
    }
}

/// From this ratio of the largest to the smallest value on, a linear axis would hide the small ones.
const LOG_FROM: f64 = 20.0;

impl Axis {
    /// An axis of the heights in `span`: from 0, or logarithmic where the range asks for it.
    pub(crate) fn heights(label: &str, span: &Span, write: impl Fn(f64) -> String) -> Self {
        let (low, high) = span.ends();
        if low > 0.0 && high / low >= LOG_FROM {
            return Self::log(label, low, high, write);
        }
        // 0 is on it, and it has a length.
        let (low, high) = (low.min(0.0), high.max(0.0));
        let high = if high > low { high } else { 1.0 };
        let step = nice_step((high - low) / 5.0);
        let (low, high) = match low < 0.0 {
            true => (low - step * 0.2, high + step * 0.4),
            false => (0.0, high + step * 0.4),
        };
        let ticks = multiples(step, low, high);
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            low,
            high,
            ticks: ticks.into_iter().map(|at| (at, write(at))).collect(),
            rows: Rows::One,
        }
    }

    /// An axis of ratios: twice and half are equally far from 1.
    pub(crate) fn ratios(label: &str, span: &Span, write: impl Fn(f64) -> String) -> Self {
        let (low, high) = span.ends();
        let low = if low > 0.0 {
            low
        } else {
            1e-3f64.min(high.abs().max(1e-9))
        };
        Self::log(label, low.min(0.8), high.max(1.25), write)
    }

    fn log(label: &str, low: f64, high: f64, write: impl Fn(f64) -> String) -> Self {
        let (low, high) = (low.log10(), high.log10());
        let margin = ((high - low) * 0.06).max(0.02);
        let (low, high) = (low - margin, high + margin);
        let decades = high - low;
        let within = |decade: f64, digit: f64| {
            let at = decade + f64::log10(digit);
            (low..=high)
                .contains(&at)
                .then(|| (at, write(10f64.powf(at))))
        };
        let digits: &[f64] = match decades {
            d if d < 1.2 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            d if d < 2.5 => &[1.0, 2.0, 5.0],
            d if d < 4.0 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let stride = (decades / 8.0).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut decade = low.floor();
        while decade <= high {
            ticks.extend(digits.iter().filter_map(|digit| within(decade, *digit)));
            decade += stride;
        }
        Self {
            label: label.to_owned(),
            scale: Scale::Log,
            low,
            high,
            ticks,
            rows: Rows::One,
        }
    }

    /// An x axis of the numbers in `span`, labelled where the values are as far as there is room:
    /// `width` characters of labels.
    pub(crate) fn places(
        label: &str,
        span: &Span,
        width: usize,
        write: impl Fn(f64) -> String,
    ) -> Self {
        let (low, high) = span.ends();
        let scale = match low > 0.0 && high / low >= 4.0 {
            true => Scale::Log,
            false => Scale::Linear,
        };
        let place = |value: f64| match scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        };
        let mut values = span.0.clone();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (low, high) = (place(low), place(high));
        // Of one place, in proportion: half of nothing is nothing beside 1e146.
        let margin = match high > low {
            true => (high - low) * 0.08,
            false => (high.abs() * 0.08).max(0.5),
        };
        let (low, high) = (low - margin, high + margin);
        let ticks = values.into_iter().map(|value| (place(value), write(value)));
        Self {
            label: label.to_owned(),
            scale,
            low,
            high,
            ticks: thinned(ticks, (high - low) / width.max(1) as f64),
            rows: Rows::One,
        }
    }

    /// An x axis of names, with room for `width` characters of labels. What does not fit is cut.
    pub(crate) fn names(label: &str, names: &[String], width: usize) -> Self {
        let places = (0..names.len()).map(|at| at as f64);
        let each = width / names.len().max(1);
        let longest = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let (rows, room) = match longest < each {
            true => (Rows::One, each),
            // A neighbour in the same row is two places away.
            false => (Rows::Two, (2 * each).saturating_sub(2)),
        };
        let names = names.iter().map(|name| shortened(name, room));
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            low: -0.5,
            high: places.len().max(1) as f64 - 0.5,
            ticks: places.zip(names).collect(),
            rows,
        }
    }

    /// Where `value` stands; `None` where it cannot.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let at = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        };
        (self.low..=self.high).contains(&at).then_some(at)
    }

    /// As [`Self::place`]; what is outside is put on the axis' end.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        let at = match self.scale {
            Scale::Log if value <= 0.0 => self.low,
            Scale::Log => value.log10(),
            Scale::Linear => value,
        };
        at.clamp(self.low, self.high)
    }
}

/// At most `room` characters of `text`.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The labels that do not run into the one before; `unit` is the place that a character takes.
fn thinned(ticks: impl Iterator<Item = (f64, String)>, unit: f64) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, String)> = Vec::new();
    for (at, label) in ticks {
        let width = (label.chars().count() + 2) as f64 * unit;
        if kept.last().is_none_or(|(last, _)| at - last >= width) {
            kept.push((at, label));
        }
    }
    kept
}

/// The multiples of `step` from `low` to `high`.
fn multiples(step: f64, low: f64, high: f64) -> Vec<f64> {
    let first = (low / step).ceil();
    (0..12)
        .map(|count| (first + f64::from(count)) * step)
        .take_while(|at| *at <= high)
        .collect()
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn nice_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * decade >= least);
    digit.unwrap_or(10.0) * decade
}

#[cfg(test)]
#[path = "axis_test.rs"]
mod tests;
