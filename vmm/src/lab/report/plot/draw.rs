//! Drawing, by plotters.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Rows, shortened};
use super::look::{GRID, INK, Look};
use super::{Axis, Joined, Line, Plot, Size};
use crate::lab::report::error::ReportError;
use crate::lab::report::html;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FONT: &str = "sans-serif";
/// plotters takes a line's height, 1.24 times what SVG calls the size of a font.
const TEXT: f64 = 13.0 * 1.24;
/// What a character takes at most, about, in pixels.
const CHARACTER: usize = 8;
const LEGEND_LINE: u32 = 22;
const LABEL_LINE: u32 = 18;
/// Pixels between the points of neighbouring lines at one place, so that whiskers stand apart.
const APART: f64 = 7.0;

impl Size {
    /// Width and height in pixels, without the legend.
    const fn pixels(self) -> (u32, u32) {
        match self {
            Self::Large => (760, 420),
            Self::Small => (460, 300),
        }
    }
}

/// A place on the picture, from its upper left corner.
type Pixel = (i32, i32);

/// A line's points on the picture.
struct Drawn {
    /// Those to be joined, run by run: a hole ends a run.
    runs: Vec<Vec<Pixel>>,
    /// Points with the ends of their whiskers.
    points: Vec<(Pixel, Option<(i32, i32)>)>,
    /// Where every run went wrong.
    holes: Vec<Pixel>,
}

impl Plot {
    /// The plot as an SVG element; `id` is its own on the page.
    pub(crate) fn svg(&self, id: &str) -> std::result::Result<String, ReportError> {
        let failed = |error: Box<dyn Error>| ReportError::Plot(error.to_string());
        let (width, height) = self.size.pixels();
        let height = height + self.x.second_row();
        let legend = Legend::of(&self.lines, width);
        let size = (width, height + legend.height());
        let mut svg = String::new();
        self.draw(&mut svg, size, &legend).map_err(failed)?;
        Ok(self.as_element(&svg, size, id))
    }

    /// The drawing with a head of our own: with names for those who hear it, and without a size,
    /// which the page gives.
    fn as_element(&self, svg: &str, (width, height): (u32, u32), id: &str) -> String {
        let drawing = svg.split_once('>').map_or("", |(_, rest)| rest);
        let class = match self.size {
            Size::Large => "plot",
            Size::Small => "plot small",
        };
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{}</title>\n\
             <desc id=\"{id}-desc\">{}</desc>{drawing}",
            html::escape(&self.title),
            html::escape(&self.description),
        )
    }

    fn draw(&self, into: &mut String, size: (u32, u32), legend: &Legend) -> Result<()> {
        let root = SVGBackend::with_string(into, size).into_drawing_area();
        let (plot, below) = root.split_vertically(size.1 - legend.height());
        let mut chart = ChartBuilder::on(&plot)
            .margin_top(14)
            .margin_right(18)
            .margin_left(10)
            .x_label_area_size(46 + self.x.second_row())
            .y_label_area_size(84)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let text = (FONT, TEXT).into_font().color(&INK);
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(html::printable(&self.x.label))
            .y_desc(html::printable(&self.y.label))
            .draw()?;
        let at = |x: f64, y: f64| chart.backend_coord(&(x, y));
        self.staggered(&root, &at)?;
        if let Some(rule) = self.rule.and_then(|rule| self.y.place(rule)) {
            let ends = [at(self.x.low, rule), at(self.x.high, rule)];
            root.draw(&PathElement::new(ends, INK.stroke_width(2)))?;
        }
        for (index, line) in self.lines.iter().enumerate() {
            self.line(&root, line, self.shift(index), &at)?;
        }
        legend.draw(&below)?;
        root.present()?;
        Ok(())
    }

    /// The labels of the x axis that stand in two rows.
    fn staggered(&self, root: &Area<'_>, at: &dyn Fn(f64, f64) -> (i32, i32)) -> Result<()> {
        let text = text(HPos::Center, VPos::Top);
        for (index, (place, label)) in self.x.ticks.iter().enumerate() {
            let below = match self.x.rows {
                Rows::One => return Ok(()),
                Rows::Two if index % 2 == 0 => 8,
                Rows::Two => 8 + i32::try_from(LABEL_LINE)?,
            };
            let (x, foot) = at(*place, self.y.low);
            root.draw(&Text::new(
                html::printable(label),
                (x, foot + below),
                text.clone(),
            ))?;
        }
        Ok(())
    }

    /// How far the points of line `index` stand beside their place, in pixels.
    fn shift(&self, index: usize) -> i32 {
        let lines = self.lines.len().max(1) as f64;
        let room = f64::from(self.size.pixels().0) / (self.x.ticks.len().max(1) as f64 + 1.0);
        let apart = match self.joined {
            Joined::Line => APART,
            Joined::Not => APART * 2.0,
        };
        let step = apart.min(room * 0.7 / lines);
        whole((index as f64 - (lines - 1.0) / 2.0) * step)
    }

    fn line(
        &self,
        root: &Area<'_>,
        line: &Line,
        shift: i32,
        at: &dyn Fn(f64, f64) -> (i32, i32),
    ) -> Result<()> {
        let look = Look::of(line.look);
        let drawn = self.drawn(line, shift, at);
        if self.joined == Joined::Line {
            for run in &drawn.runs {
                stroke(root, run, &look)?;
            }
        }
        for (point, whisker) in &drawn.points {
            if let Some((low, high)) = whisker {
                let (x, thin) = (point.0, look.colour.stroke_width(2));
                root.draw(&PathElement::new([(x, *low), (x, *high)], thin))?;
                for end in [*low, *high] {
                    root.draw(&PathElement::new([(x - 4, end), (x + 4, end)], thin))?;
                }
            }
            marker(root, *point, &look)?;
        }
        for (x, y) in drawn.holes {
            let thick = look.colour.stroke_width(3);
            root.draw(&PathElement::new([(x - 5, y - 5), (x + 5, y + 5)], thick))?;
            root.draw(&PathElement::new([(x - 5, y + 5), (x + 5, y - 5)], thick))?;
        }
        Ok(())
    }

    fn drawn(&self, line: &Line, shift: i32, at: &dyn Fn(f64, f64) -> (i32, i32)) -> Drawn {
        let beside = |(x, y): (i32, i32)| (x + shift, y);
        let mut drawn = Drawn {
            runs: vec![Vec::new()],
            points: Vec::new(),
            holes: Vec::new(),
        };
        for point in &line.points {
            let Some(x) = self.x.place(point.x) else {
                continue;
            };
            let Some(y) = point.y.and_then(|y| self.y.place(y)) else {
                let (x, foot) = beside(at(x, self.y.low));
                drawn.holes.push((x, foot - 8));
                drawn.runs.push(Vec::new());
                continue;
            };
            let end = |value| at(x, self.y.clamped(value)).1;
            let whisker = point.whisker.map(|(low, high)| (end(low), end(high)));
            drawn.points.push((beside(at(x, y)), whisker));
            if let Some(run) = drawn.runs.last_mut() {
                run.push(beside(at(x, y)));
            }
        }
        drawn
    }
}

impl Axis {
    /// Height of the second row of labels.
    fn second_row(&self) -> u32 {
        match self.rows {
            Rows::One => 0,
            Rows::Two => LABEL_LINE,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (place - self.low) / (self.high - self.low);
        // What is outside by far stays a number of pixels.
        start + whole(f64::from(end - start) * share.clamp(-1.0, 2.0))
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.iter().map(|(at, _)| *at).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(at: &f64) -> String {
        at.to_string()
    }

    fn format_ext(&self, at: &f64) -> String {
        if self.rows == Rows::Two {
            return String::new();
        }
        let tick = self.ticks.iter().find(|(tick, _)| tick == at);
        tick.map(|(_, label)| html::printable(label))
            .unwrap_or_default()
    }
}

/// The style of text that stands so.
fn text(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let style = (FONT, TEXT).into_font().color(&INK);
    style.pos(Pos::new(horizontal, vertical))
}

/// The nearest pixel.
fn whole(pixels: f64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and is a few hundred"
    )]
    let pixels = pixels.round() as i32;
    pixels
}

fn stroke(root: &Area<'_>, path: &[(i32, i32)], look: &Look) -> Result<()> {
    let style = look.colour.stroke_width(2);
    match look.dashes {
        None => root.draw(&PathElement::new(path.to_vec(), style))?,
        Some((dash, gap)) => {
            root.draw(&DashedPathElement::new(
                path.iter().copied(),
                dash,
                gap,
                style,
            ))?;
        }
    }
    Ok(())
}

fn marker(root: &Area<'_>, (x, y): (i32, i32), look: &Look) -> Result<()> {
    let corners: Vec<_> = look
        .marker
        .iter()
        .map(|(dx, dy)| (x + dx, y + dy))
        .collect();
    root.draw(&Polygon::new(corners, look.colour.filled()))?;
    Ok(())
}

/// The lines' names below the plot, in columns.
struct Legend {
    entries: Vec<(Look, String)>,
    columns: u32,
    column_width: u32,
}

impl Legend {
    const SWATCH: u32 = 44;

    fn of(lines: &[Line], width: u32) -> Self {
        let room = usize::try_from(width - Self::SWATCH - 20).unwrap_or(usize::MAX) / CHARACTER;
        let entries: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    Look::of(line.look),
                    shortened(&html::printable(&line.label), room),
                )
            })
            .collect();
        let longest = entries
            .iter()
            .map(|(_, label)| label.chars().count())
            .max()
            .unwrap_or(0);
        let longest = u32::try_from(longest * CHARACTER).unwrap_or(width);
        let column_width = (longest + Self::SWATCH + 16).min(width - 10);
        Self {
            entries,
            columns: ((width - 10) / column_width).max(1),
            column_width,
        }
    }

    fn rows(&self) -> u32 {
        u32::try_from(self.entries.len())
            .unwrap_or(u32::MAX)
            .div_ceil(self.columns)
    }

    fn height(&self) -> u32 {
        match self.entries.len() {
            // A single line is what the title says.
            0 | 1 => 0,
            _ => self.rows() * LEGEND_LINE + 8,
        }
    }

    fn draw(&self, area: &Area<'_>) -> Result<()> {
        if self.height() == 0 {
            return Ok(());
        }
        let text = text(HPos::Left, VPos::Center);
        for ((look, label), index) in self.entries.iter().zip(0..) {
            let left = i32::try_from(10 + (index % self.columns) * self.column_width)?;
            let y = i32::try_from((index / self.columns) * LEGEND_LINE + LEGEND_LINE / 2)?;
            // Where the swatch stands on the whole picture does not matter: the area shifts it.
            stroke(area, &[(left, y), (left + 34, y)], look)?;
            marker(area, (left + 17, y), look)?;
            area.draw(&Text::new(label.clone(), (left + 42, y), text.clone()))?;
        }
        Ok(())
    }
}
