//! Plots as SVG that stands in a page.

mod axis;
mod draw;
mod look;

pub(super) use axis::{Axis, Span};

/// A plot to be drawn.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What it shows, above it and for those who hear the page.
    pub title: String,
    /// What is to be seen, for those who hear the page.
    pub description: String,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
    /// A value of y that the eye compares with.
    pub rule: Option<f64>,
    /// How large.
    pub size: Size,
    /// Whether neighbours on the x axis are joined.
    pub joined: Joined,
}

/// Whether neighbours on the x axis are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// By a line: there is something between them.
    Line,
    /// Not: they are names.
    Not,
}

/// How large a plot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// As wide as the page.
    Large,
    /// Two beside each other.
    Small,
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its name in the legend.
    pub label: String,
    /// Its colour, dashes and marker.
    pub look: usize,
    /// Its points, from left to right.
    pub points: Vec<Point>,
}

/// One point of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Its place.
    pub x: f64,
    /// Its height; `None` where every run went wrong.
    pub y: Option<f64>,
    /// From where to where the value may well be.
    pub whisker: Option<(f64, f64)>,
}
