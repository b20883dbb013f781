//! One look at a process.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a process takes at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Cycles or runs that were done.
    pub done: u64,
    /// Memory that is present: RSS.
    pub rss_bytes: u64,
    /// The part of it that no file backs.
    pub anonymous_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Sample {
    /// This process, after `done`. `None` where `/proc` does not tell.
    pub fn of_this_process(done: u64) -> Option<Self> {
        let mut sample = Self::read(Path::new("/proc/self"), done)?;
        // One of them is the folder that was just read.
        sample.descriptors = sample.descriptors.saturating_sub(1);
        Some(sample)
    }

    /// The process `pid`, after `done`. `None` where `/proc` does not tell, which is also so when it has
    /// ended.
    pub fn of_process(pid: u32, done: u64) -> Option<Self> {
        Self::read(&PathBuf::from(format!("/proc/{pid}")), done)
    }

    fn read(process: &Path, done: u64) -> Option<Self> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let descriptors = fs::read_dir(process.join("fd")).ok()?.count();
        Some(Self {
            done,
            rss_bytes: field(&status, "VmRSS:")? << 10,
            anonymous_bytes: field(&status, "RssAnon:")? << 10,
            descriptors: u64::try_from(descriptors).ok()?,
            threads: field(&status, "Threads:")?,
        })
    }
}

/// The number behind `name` in `/proc/PID/status`; memory is in KiB there.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_takes_is_seen() {
        let before = Sample::of_this_process(7).unwrap();
        assert_eq!(before.done, 7);
        assert!(before.rss_bytes >= before.anonymous_bytes && before.anonymous_bytes > 0);
        assert!(before.threads >= 1);
        // Other tests of this process open and close files as well: more than they ever do.
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/proc/self/status").unwrap())
            .collect();
        let now = Sample::of_process(std::process::id(), 8).unwrap();
        assert!(
            now.descriptors >= before.descriptors + 100,
            "{before:?} {now:?}"
        );
        drop(files);
        assert_eq!(Sample::of_process(u32::MAX, 0), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let status = "VmRSS:\t    1234 kB\nRssAnon:\t 17 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234));
        assert_eq!(field(status, "Threads:"), Some(3));
        assert_eq!(field(status, "RssFile:"), None);
    }
}
