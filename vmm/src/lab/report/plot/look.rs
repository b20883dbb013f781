//! How lines are told apart: by colour, by dashes and by marker, each of which is enough.

use plotters::style::RGBColor;

/// Text and axes. The page's style sheet knows these colours and replaces them in the dark.
pub(super) const INK: RGBColor = RGBColor(0x1B, 0x1B, 0x1B);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);

/// The palette of Okabe and Ito (2008), which those see apart who do not see all colours; its
/// yellow, too pale for paper, is a grey here, and its black comes last.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x76, 0x76, 0x76),
    RGBColor(0x00, 0x00, 0x00),
];

/// How one line looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Its colour.
    pub(super) colour: RGBColor,
    /// Length of its dashes and of the gaps between them, in pixels; `None` for an unbroken line.
    pub(super) dashes: Option<(i32, i32)>,
    /// Its marker: corners around the point, in pixels.
    pub(super) marker: &'static [(i32, i32)],
}

const CIRCLE: &[(i32, i32)] = &[
    (5, 0),
    (4, 3),
    (3, 4),
    (0, 5),
    (-3, 4),
    (-4, 3),
    (-5, 0),
    (-4, -3),
    (-3, -4),
    (0, -5),
    (3, -4),
    (4, -3),
];
const SQUARE: &[(i32, i32)] = &[(-4, -4), (4, -4), (4, 4), (-4, 4)];
const UP: &[(i32, i32)] = &[(0, -6), (5, 4), (-5, 4)];
const DOWN: &[(i32, i32)] = &[(0, 6), (5, -4), (-5, -4)];
const DIAMOND: &[(i32, i32)] = &[(0, -6), (6, 0), (0, 6), (-6, 0)];
const PLUS: &[(i32, i32)] = &[
    (-2, -6),
    (2, -6),
    (2, -2),
    (6, -2),
    (6, 2),
    (2, 2),
    (2, 6),
    (-2, 6),
    (-2, 2),
    (-6, 2),
    (-6, -2),
    (-2, -2),
];
const LEFT: &[(i32, i32)] = &[(-6, 0), (4, -5), (4, 5)];
const RIGHT: &[(i32, i32)] = &[(6, 0), (-4, -5), (-4, 5)];

const MARKERS: [&[(i32, i32)]; 8] = [CIRCLE, SQUARE, UP, DIAMOND, DOWN, PLUS, LEFT, RIGHT];
const DASHES: [Option<(i32, i32)>; 4] = [None, Some((9, 4)), Some((3, 4)), Some((14, 5))];

impl Look {
    /// The look number `index`; they repeat.
    pub(super) fn of(index: usize) -> Self {
        Self {
            colour: COLOURS[index % COLOURS.len()],
            dashes: DASHES[index % DASHES.len()],
            marker: MARKERS[index % MARKERS.len()],
        }
    }
}
