//! What goes on the x axis, what makes a line, and what gets a plot of its own.

use std::collections::BTreeSet;

use super::cell::Cell;
use super::study::Study;
use super::value;

/// More lines than this no plot can show apart.
pub(super) const LINES_MOST: usize = 8;

/// What runs along the x axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum X {
    /// vCPUs per pCPU.
    Overcommit,
    /// A factor whose values are numbers.
    Number(String),
    /// A factor whose values are names, in the order of the specification.
    Names(String, Vec<String>),
    /// Nothing varies.
    Nothing,
}

/// How an experiment's cells are laid out in plots.
#[derive(Clone, Debug)]
pub(super) struct Layout<'a> {
    /// The x axis, the same in all.
    pub x: X,
    /// The plots.
    pub panels: Vec<Panel<'a>>,
}

/// The cells of one plot.
#[derive(Clone, Debug)]
pub(super) struct Panel<'a> {
    /// What its cells have in common; empty where there is one plot only.
    pub title: String,
    /// Plots of one group are parts of one and have one scale.
    pub group: usize,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
}

/// The cells of one line.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Its name.
    pub label: String,
    /// Colour and marker; the same for the same label.
    pub look: usize,
    /// Places on the x axis, rising, with their cells.
    pub cells: Vec<(f64, &'a Cell)>,
}

impl X {
    /// Chooses the x axis of `study`.
    pub(super) fn of(study: &Study) -> Self {
        let varying = study.varying();
        let is_number = |values: &[String]| value::are_numbers(values);
        let named_after =
            |factor: &str| study.name.strip_suffix('s').unwrap_or(&study.name) == factor;
        if let Some((factor, values)) = varying.iter().find(|(factor, _)| named_after(factor)) {
            if is_number(values) {
                return Self::Number(factor.clone());
            }
            // Two values are two lines; more of them are what the experiment is about.
            if values.len() > 2 {
                return Self::Names(factor.clone(), values.clone());
            }
        }
        let numbers = varying
            .iter()
            .filter(|(factor, values)| is_number(values) && !is_cpus(factor))
            .max_by_key(|(_, values)| values.len());
        let steps = overcommits(study).map_or(0, |places| places.len());
        let most = numbers.map_or(0, |(_, values)| values.len());
        match numbers {
            _ if steps > 1 && steps >= most => Self::Overcommit,
            Some((factor, _)) => Self::Number(factor.clone()),
            None => {
                let cpus = varying
                    .iter()
                    .find(|(factor, values)| is_cpus(factor) && is_number(values));
                let most = varying.iter().max_by_key(|(_, values)| values.len());
                match (cpus, most) {
                    (Some((factor, _)), _) => Self::Number(factor.clone()),
                    (None, Some((factor, values))) => Self::Names(factor.clone(), values.clone()),
                    (None, None) => Self::Nothing,
                }
            }
        }
    }

    /// Where `cell` stands on it.
    pub(super) fn place(&self, cell: &Cell) -> Option<f64> {
        match self {
            Self::Overcommit => cell.overcommit(),
            Self::Number(factor) => cell.number_of(factor),
            Self::Names(factor, values) => {
                let value = cell.factor(factor);
                Some(values.iter().position(|other| other == value)? as f64)
            }
            Self::Nothing => Some(0.0),
        }
    }

    /// Its name for a reader.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Overcommit => "overcommit: vCPUs per pCPU".to_owned(),
            Self::Number(factor) | Self::Names(factor, _) => factor.clone(),
            Self::Nothing => String::new(),
        }
    }

    /// The factors that vary in `study` and that the axis is not made of.
    pub(super) fn others(&self, study: &Study) -> Vec<String> {
        let varying = study.varying().into_iter().map(|(factor, _)| factor);
        varying.filter(|factor| !self.is_made_of(factor)).collect()
    }

    /// The place of `study`'s cells that is farthest out.
    pub(super) fn last(&self, study: &Study) -> f64 {
        let places = study.cells.iter().filter_map(|cell| self.place(cell));
        places.fold(f64::MIN, f64::max)
    }

    /// Whether `factor` is among what the axis is made of.
    pub(super) fn is_made_of(&self, factor: &str) -> bool {
        match self {
            Self::Overcommit => is_cpus(factor),
            Self::Number(own) | Self::Names(own, _) => own == factor,
            Self::Nothing => false,
        }
    }

    /// Whether `factor` is told by the place on the axis.
    fn tells(&self, factor: &str, varying: &[(String, Vec<String>)]) -> bool {
        match self {
            Self::Overcommit => {
                let vcpus_vary = varying.iter().any(|(factor, _)| factor == "vcpus");
                factor == if vcpus_vary { "vcpus" } else { "pcpus" }
            }
            Self::Number(own) | Self::Names(own, _) => own == factor,
            Self::Nothing => false,
        }
    }
}

fn is_cpus(factor: &str) -> bool {
    matches!(factor, "vcpus" | "pcpus")
}

/// The different overcommits; `None` where a cell has none.
fn overcommits(study: &Study) -> Option<BTreeSet<u64>> {
    study
        .cells
        .iter()
        .map(|cell| cell.overcommit().map(f64::to_bits))
        .collect()
}

/// The values of `factors` in `cell`, in words.
pub(super) fn label(cell: &Cell, factors: &[String]) -> String {
    let words: Vec<_> = factors
        .iter()
        .map(|factor| value::in_words(factor, cell.factor(factor)))
        .collect();
    words.join(", ")
}

/// Cells with the same values of some factors, by these values in words, in order.
pub(super) fn grouped<'a>(
    cells: impl IntoIterator<Item = &'a Cell>,
    factors: &[String],
) -> Vec<(String, Vec<&'a Cell>)> {
    let mut groups: Vec<(String, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        let label = label(cell, factors);
        match groups.iter_mut().find(|(other, _)| *other == label) {
            Some((_, cells)) => cells.push(cell),
            None => groups.push((label, vec![cell])),
        }
    }
    groups
}

/// Lays out `study`.
pub(super) fn layout(study: &Study) -> Layout<'_> {
    let x = X::of(study);
    let varying = study.varying();
    let mut rest: Vec<_> = varying
        .iter()
        .filter(|(factor, _)| !x.tells(factor, &varying))
        .collect();
    // What is compared with the baseline belongs into one plot with it.
    let baseline = study.baseline();
    rest.sort_by_key(|(factor, values)| {
        (
            !baseline.contains_key(factor),
            std::cmp::Reverse(values.len()),
        )
    });
    // As many factors make lines as a plot can show; the others make plots.
    let (mut of_lines, mut of_panels) = (Vec::new(), Vec::new());
    for (factor, _) in rest {
        let mut more: Vec<String> = of_lines.clone();
        more.push(factor.clone());
        if of_lines.is_empty() || grouped(&study.cells, &more).len() <= LINES_MOST {
            of_lines = more;
        } else {
            of_panels.push(factor.clone());
        }
    }
    let labels = grouped(&study.cells, &of_lines);
    let look = |label: &str| {
        labels
            .iter()
            .position(|(other, _)| other == label)
            .unwrap_or(0)
    };
    let mut panels = Vec::new();
    for (group, (title, cells)) in grouped(&study.cells, &of_panels).into_iter().enumerate() {
        let lines = grouped(cells, &of_lines)
            .into_iter()
            .map(|(label, cells)| Line {
                look: look(&label),
                label: if label.is_empty() {
                    "all runs".to_owned()
                } else {
                    label
                },
                cells: placed(&x, cells),
            });
        panels.extend(split(study, &title, group, lines.collect()));
    }
    Layout { x, panels }
}

/// Cells in the order of the x axis, with their places on it.
pub(super) fn placed<'a>(x: &X, cells: Vec<&'a Cell>) -> Vec<(f64, &'a Cell)> {
    let mut placed: Vec<_> = cells
        .into_iter()
        .filter_map(|cell| Some((x.place(cell)?, cell)))
        .collect();
    placed.sort_by(|one, other| one.0.total_cmp(&other.0));
    placed
}

/// Plots of at most [`LINES_MOST`] lines, each with the baseline's.
fn split<'a>(study: &Study, title: &str, group: usize, mut lines: Vec<Line<'a>>) -> Vec<Panel<'a>> {
    if lines.len() <= LINES_MOST {
        if lines.iter().any(|line| line.look >= LINES_MOST) {
            in_turn(&mut lines);
        }
        return vec![Panel {
            title: title.to_owned(),
            group,
            lines,
        }];
    }
    let baseline = study.baseline();
    let is_base = |line: &Line| {
        let fits = |cell: &Cell| {
            baseline
                .iter()
                .all(|(factor, value)| cell.factor(factor) == value)
        };
        !baseline.is_empty() && line.cells.iter().any(|(_, cell)| fits(cell))
    };
    let (base, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_base);
    // More than one where the baseline leaves a factor of the lines open: then none is repeated.
    let (base, others) = match base.len() {
        1 => (base, others),
        _ => (Vec::new(), base.into_iter().chain(others).collect()),
    };
    let parts = others.len().div_ceil(LINES_MOST - base.len());
    let size = others.len().div_ceil(parts);
    let part = |(at, lines): (usize, &[Line<'a>])| {
        let mut lines: Vec<_> = base.iter().chain(lines).cloned().collect();
        in_turn(&mut lines);
        let name = format!("part {} of {parts}", at + 1);
        Panel {
            title: if title.is_empty() {
                name
            } else {
                format!("{title}, {name}")
            },
            group,
            lines,
        }
    };
    others.chunks(size).enumerate().map(part).collect()
}

/// Gives each line a look of its own in its plot.
fn in_turn(lines: &mut [Line<'_>]) {
    for (look, line) in lines.iter_mut().enumerate() {
        line.look = look;
    }
}

#[cfg(test)]
#[path = "layout_test.rs"]
mod tests;
