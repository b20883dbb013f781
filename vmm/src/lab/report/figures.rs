//! Which plots an experiment gets.

use super::cell::Cell;
use super::error::ReportError;
use super::html;
use super::layout::{Layout, Panel, X};
use super::metric::{self, THROUGHPUT};
use super::plot::{Axis, Joined, Line, Plot, Point, Size, Span};
use super::study::Study;
use super::value;
use crate::lab::stats::{Interval, Ratio};

/// What the small plots show, where it was measured.
const SMALL: [&str; 3] = ["wait_p99_ns", "kick_p50_ns", "fairness_jain"];

/// A value with its interval.
type Valued = (f64, Option<Interval>);

/// A cell's value, where it has one.
type OfCell<'a> = Box<dyn Fn(&Cell) -> Option<Valued> + 'a>;

/// A plot of one quantity.
struct Quantity<'a> {
    title: String,
    /// What whiskers and holes mean here.
    note: &'a str,
    label: String,
    size: Size,
    of: OfCell<'a>,
    /// Whether it is a ratio.
    ratio: IsRatio,
    write: Box<dyn Fn(f64) -> String + 'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsRatio {
    Yes,
    No,
}

/// What the note says where plots have scales of their own.
const OWN_SCALE: &str = " Scales differ from plot to plot.";

const NOTE: &str = "Whiskers are the intervals of the medians. A cross at the foot: every run \
                    there went wrong.";
const RATIO_NOTE: &str = "Above 1 is more than the baseline. Where a whisker touches 1, no \
                          difference is shown.";

/// The plots of `study`, as HTML figures.
pub(super) fn of_study(study: &Study, layout: &Layout<'_>) -> Result<String, ReportError> {
    let mut html = String::new();
    let mut drawing = Drawing { layout, count: 0 };
    html += &drawing.figures(&of_metric(THROUGHPUT, Size::Large))?;
    if study.cells.iter().any(|cell| study.base_of(cell).is_some()) {
        let ratio = move |cell: &Cell| {
            let base = study.base_of(cell)?;
            cell.paired_with(base, THROUGHPUT)
        };
        html += &drawing.figures(&of_ratio("baseline", ratio))?;
    }
    let has = |metric: &str| study.runs().any(|run| run.metrics.contains_key(metric));
    for metric in SMALL.into_iter().filter(|metric| has(metric)) {
        html += &drawing.figures(&of_metric(metric, Size::Small))?;
    }
    Ok(html)
}

/// The plots of a ratio of throughputs.
pub(super) fn of_ratios<'a>(
    layout: &Layout<'_>,
    base: &str,
    ratio: impl Fn(&Cell) -> Option<Ratio> + 'a,
) -> Result<String, ReportError> {
    Drawing { layout, count: 0 }.figures(&of_ratio(base, ratio))
}

fn of_metric(metric: &'static str, size: Size) -> Quantity<'static> {
    Quantity {
        title: metric::title(metric).to_owned(),
        note: NOTE,
        label: metric::title(metric).to_owned(),
        size,
        of: Box::new(move |cell| {
            let summary = cell.summary(metric)?;
            Some((summary.median, summary.interval))
        }),
        ratio: IsRatio::No,
        write: Box::new(move |value| metric::write(metric, value)),
    }
}

fn of_ratio<'a>(base: &str, ratio: impl Fn(&Cell) -> Option<Ratio> + 'a) -> Quantity<'a> {
    Quantity {
        title: format!("locks taken a second, times those of the {base}"),
        note: RATIO_NOTE,
        label: format!("times the {base}"),
        size: Size::Large,
        of: Box::new(move |cell| {
            let ratio = ratio(cell)?;
            Some((ratio.median, ratio.interval))
        }),
        ratio: IsRatio::Yes,
        write: Box::new(value::digits),
    }
}

/// Numbers the plots of a page.
struct Drawing<'a> {
    layout: &'a Layout<'a>,
    count: usize,
}

impl Drawing<'_> {
    /// A figure for each panel.
    fn figures(&mut self, quantity: &Quantity<'_>) -> Result<String, ReportError> {
        let mut html = String::new();
        let groups = self.layout.panels.last().map_or(0, |panel| panel.group);
        let own_scale = if groups > 0 { OWN_SCALE } else { "" };
        for panel in &self.layout.panels {
            let plot = self.plot(panel, quantity, self.heights(panel.group, quantity));
            if plot.lines.is_empty() {
                continue;
            }
            self.count += 1;
            let id = format!(
                "{}-{}",
                if quantity.ratio == IsRatio::Yes {
                    "ratio"
                } else {
                    "plot"
                },
                self.count
            );
            let class = match quantity.size {
                Size::Large => "large",
                Size::Small => "small",
            };
            html += &format!(
                "<figure class=\"{class}\" id=\"{id}\"><figcaption>{}</figcaption>\n\
                 <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">{}</div>\n\
                 <p class=\"note\">{}{}</p></figure>\n",
                html::escape(&plot.title),
                html::escape(&plot.title),
                plot.svg(&id)?,
                html::escape(quantity.note),
                own_scale,
            );
        }
        if quantity.size == Size::Small && !html.is_empty() {
            html = format!("<div class=\"smalls\">{html}</div>\n");
        }
        Ok(html)
    }

    /// The scale of the panels of `group`.
    fn heights(&self, group: usize, quantity: &Quantity<'_>) -> Axis {
        let mut span = Span::default();
        let cells = self
            .layout
            .panels
            .iter()
            .filter(|panel| panel.group == group)
            .flat_map(|panel| &panel.lines)
            .flat_map(|line| &line.cells);
        for (median, interval) in cells.filter_map(|(_, cell)| (quantity.of)(cell)) {
            span.add(median);
            // An end at 0 must not take the logarithm from all others; it is drawn to the foot.
            let ends = interval
                .into_iter()
                .flat_map(|interval| [interval.low, interval.high]);
            ends.filter(|end| *end > 0.0).for_each(|end| span.add(end));
        }
        let write = |value| short(&(quantity.write)(value));
        match quantity.ratio {
            IsRatio::Yes => Axis::ratios(&quantity.label, &span, write),
            IsRatio::No => Axis::heights(&quantity.label, &span, write),
        }
    }

    fn places(&self, size: Size) -> Axis {
        let x = &self.layout.x;
        let mut span = Span::default();
        let lines = self.layout.panels.iter().flat_map(|panel| &panel.lines);
        lines
            .flat_map(|line| &line.cells)
            .for_each(|(place, _)| span.add(*place));
        let width = match size {
            Size::Large => 80,
            Size::Small => 42,
        };
        let label = x.label();
        match x {
            X::Names(_, names) => Axis::names(&label, names, width),
            X::Nothing => Axis::names(&label, &[String::new()], width),
            X::Overcommit => Axis::places(&label, &span, width, value::ratio_short),
            X::Number(_) => Axis::places(&label, &span, width, value::plain),
        }
    }

    fn plot(&self, panel: &Panel<'_>, quantity: &Quantity<'_>, y: Axis) -> Plot {
        let lines: Vec<_> = panel
            .lines
            .iter()
            .map(|line| Line {
                label: line.label.clone(),
                look: line.look,
                points: line
                    .cells
                    .iter()
                    .filter_map(|(x, cell)| point(*x, cell, quantity))
                    .collect(),
            })
            .filter(|line| !line.points.is_empty())
            .collect();
        let title = match panel.title.as_str() {
            "" => quantity.title.clone(),
            panel => format!("{}: {panel}", quantity.title),
        };
        Plot {
            description: described(&lines, &self.layout.x, &*quantity.write),
            title,
            x: self.places(quantity.size),
            y,
            lines,
            rule: (quantity.ratio == IsRatio::Yes).then_some(1.0),
            size: quantity.size,
            joined: match self.layout.x {
                X::Overcommit | X::Number(_) => Joined::Line,
                X::Names(..) | X::Nothing => Joined::Not,
            },
        }
    }
}

fn point(x: f64, cell: &Cell, quantity: &Quantity<'_>) -> Option<Point> {
    match (quantity.of)(cell) {
        Some((median, interval)) => Some(Point {
            x,
            y: Some(median),
            whisker: interval.map(|interval| (interval.low, interval.high)),
        }),
        None if quantity.ratio == IsRatio::No && cell.all_went_wrong() => Some(Point {
            x,
            y: None,
            whisker: None,
        }),
        None => None,
    }
}

/// The ends of every line, in words.
fn described(lines: &[Line], x: &X, write: &dyn Fn(f64) -> String) -> String {
    let written = |point: &Point| point.y.map_or_else(|| "none".to_owned(), write);
    let line = |line: &Line| match (line.points.first(), line.points.last()) {
        (Some(first), Some(last)) if first.x != last.x => {
            format!("{}: {} to {}", line.label, written(first), written(last))
        }
        (Some(only), _) => format!("{}: {}", line.label, written(only)),
        (None, _) => line.label.clone(),
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    format!("Over {}. {}.", x.label(), lines.join("; "))
}

/// `1.00 M/s` as `1 M/s`: on an axis only the scale matters.
fn short(text: &str) -> String {
    match text.split_once(' ') {
        Some((number, unit)) => format!("{} {unit}", trimmed(number)),
        None => trimmed(text).to_owned(),
    }
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') && !number.contains('e') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}
