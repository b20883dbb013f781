//! On which host CPUs a thread may run: `--cpus LIST`.

use std::io;
use std::str::FromStr;
use std::thread;

/// Host CPUs, as in `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

const MAX_CPU: usize = libc::CPU_SETSIZE as usize - 1;

impl CpuList {
    /// Their numbers.
    pub fn to_vec(&self) -> Vec<u32> {
        self.0
            .iter()
            .filter_map(|cpu| u32::try_from(*cpu).ok())
            .collect()
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a list of host CPUs; write it as in 0,2-3");
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.parse().map_err(|_| bad())?;
            let last: usize = last.parse().map_err(|_| bad())?;
            if first > last || last > MAX_CPU {
                return Err(bad());
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

/// Keeps the calling thread on `cpus`.
///
/// # Errors
/// EINVAL where none of them is a CPU this process may use.
pub fn set_for_this_thread(cpus: &CpuList) -> io::Result<()> {
    // SAFETY: a cpu_set_t of zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in &cpus.0 {
        // SAFETY: `from_str` keeps every number below CPU_SETSIZE.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: the set is initialized and its size is given; 0 is this thread.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The first of `cpus` that this process cannot run on. Tried one by one, since a set with one
/// good CPU in it is taken; on a thread of its own, since the last one tried stays.
pub fn first_unusable(cpus: &CpuList) -> Option<usize> {
    let cannot = |cpu: &usize| set_for_this_thread(&CpuList(vec![*cpu])).is_err();
    thread::scope(|scope| {
        let tried = scope.spawn(|| cpus.0.iter().copied().find(cannot));
        // It cannot panic.
        tried.join().unwrap_or(None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let cpus: CpuList = "1022-1023".parse().unwrap();
        assert_eq!(first_unusable(&cpus), Some(1022));
    }

    #[test]
    fn lists_and_ranges_are_read() {
        assert_eq!("0,2-3".parse(), Ok(CpuList(vec![0, 2, 3])));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", "x", "3-1", "1,,2", "0-99999999"] {
            assert!(bad.parse::<CpuList>().is_err(), "{bad}");
        }
    }
}
