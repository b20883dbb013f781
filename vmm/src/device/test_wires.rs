//! Wires that end in the test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::wires::{Level, Wires};

/// What a device did with its wires, and clocks to set.
#[derive(Debug, Default)]
pub(super) struct TestWires {
    pub(super) lines: Mutex<Vec<(u32, Level)>>,
    pub(super) forgotten: Mutex<Vec<u64>>,
    uptime_ns: AtomicU64,
    time_of_day_ns: AtomicU64,
}

impl TestWires {
    pub(super) fn set_uptime(&self, uptime: Duration) {
        self.uptime_ns.store(ns(uptime), Relaxed);
    }

    pub(super) fn set_time_of_day(&self, since_1970: Duration) {
        self.time_of_day_ns.store(ns(since_1970), Relaxed);
    }

    /// Edges on `line` since the last question.
    pub(super) fn edges(&self, line: u32) -> usize {
        let mut lines = self.lines.lock().unwrap();
        let edges = lines.iter().filter(|set| **set == (line, Level::High));
        let edges = edges.count();
        lines.clear();
        edges
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

impl Wires for TestWires {
    fn set_line(&self, line: u32, level: Level) {
        self.lines.lock().unwrap().push((line, level));
    }

    fn uptime(&self) -> Duration {
        Duration::from_nanos(self.uptime_ns.load(Relaxed))
    }

    fn time_of_day(&self) -> Duration {
        Duration::from_nanos(self.time_of_day_ns.load(Relaxed))
    }

    fn forget_page(&self, gpa: u64) {
        self.forgotten.lock().unwrap().push(gpa);
    }
}
