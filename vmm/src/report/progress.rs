//! The progress line on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::units;

/// Back to the start of the line, and erase what is on it.
const ERASE: &str = "\r\x1b[K";
/// Around a line that must not wrap in a narrow terminal, where erasing it would leave a part.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

/// One line on standard error that says how far a run is. Nothing at all in a pipe.
#[derive(Debug)]
pub struct Progress(Option<Line>);

#[derive(Debug)]
struct Line {
    terminal: Terminal,
    text: String,
    started: Instant,
    total: Option<Duration>,
    last: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Terminal {
    StandardError,
    #[cfg(test)]
    Hidden,
}

impl Terminal {
    fn write(self, text: &str) {
        match self {
            // A terminal that went away is no reason to end a run.
            Self::StandardError => drop(io::stderr().write_all(text.as_bytes())),
            #[cfg(test)]
            Self::Hidden => {}
        }
    }
}

/// What a run has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoFar {
    /// Locks taken; `None` for guests that do not say.
    pub acquisitions: Option<u64>,
    /// Kicks handled by the VMM or, where it sees none, sent by the guest.
    pub kicks: u64,
}

impl Progress {
    /// Shows a line if standard error is a terminal. `total` is how long the run should take,
    /// where that is known.
    pub fn start(total: Option<Duration>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        Self::draw(total, Terminal::StandardError)
    }

    /// Shows nothing, for a terminal that the guest writes to.
    pub fn hidden() -> Self {
        Self(None)
    }

    fn draw(total: Option<Duration>, terminal: Terminal) -> Self {
        Self(Some(Line {
            terminal,
            text: String::new(),
            started: Instant::now(),
            total,
            last: None,
        }))
    }

    /// Shows what the run has done by now.
    pub fn update(&mut self, so_far: SoFar) {
        if let Some(line) = &mut self.0 {
            line.update(Instant::now(), so_far);
        }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Shows `text`, for work that is no run.
    pub fn show(&mut self, text: String) {
        if let Some(line) = &mut self.0 {
            line.text = text;
            line.draw();
        }
    }

    /// Calls `write` with the line taken away, so that what it prints stands on lines of its own.
    pub fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(line) => {
                line.terminal.write(ERASE);
                let result = write();
                line.draw();
                result
            }
            None => write(),
        }
    }

    /// Takes the line away.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.terminal.write(ERASE);
        }
    }
}

impl Line {
    fn update(&mut self, now: Instant, so_far: SoFar) {
        let rate = so_far.acquisitions.and_then(|count| {
            let (then, before) = self.last.replace((now, count))?;
            let seconds = now.duration_since(then).as_secs_f64();
            (seconds > 0.0).then(|| count.saturating_sub(before) as f64 / seconds)
        });
        let elapsed = now.duration_since(self.started);
        self.text = text(elapsed, self.total, rate, so_far.kicks);
        self.draw();
    }

    fn draw(&self) {
        self.terminal
            .write(&format!("{ERASE}{WRAP_OFF}{}{WRAP_ON}", self.text));
    }
}

fn text(elapsed: Duration, total: Option<Duration>, rate: Option<f64>, kicks: u64) -> String {
    let mut text = format!("{:.1}", elapsed.as_secs_f64());
    if let Some(total) = total {
        text.push_str(&format!(" / {:.1}", total.as_secs_f64()));
    }
    text.push_str(" s");
    if let Some(rate) = rate {
        text.push_str(&format!("   acquired {}", units::per_second(rate)));
    }
    text.push_str(&format!("   kicks {}", units::count(kicks)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_time_rate_and_kicks() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(
            text(seconds(1.25), Some(seconds(3.0)), Some(1_234_567.0), 42),
            "1.2 / 3.0 s   acquired 1.23 M/s   kicks 42"
        );
        assert_eq!(text(seconds(1.0), None, None, 0), "1.0 s   kicks 0");
    }

    #[test]
    fn the_rate_is_that_of_the_last_interval() {
        let mut progress = Progress::draw(None, Terminal::Hidden);
        let line = progress.0.as_mut().unwrap();
        let start = line.started;
        for (second, acquisitions) in [(1, 1000), (2, 3000), (3, 9000)] {
            let so_far = SoFar {
                acquisitions: Some(acquisitions),
                kicks: 7,
            };
            line.update(start + Duration::from_secs(second), so_far);
        }
        assert_eq!(line.text, "3.0 s   acquired 6.00 k/s   kicks 7");
    }

    #[test]
    fn a_pipe_sees_nothing() {
        let mut progress = Progress(None);
        progress.update(SoFar::default());
        assert_eq!(progress.aside(|| 1), 1);
        progress.finish();
    }
}
