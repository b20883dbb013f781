//! What a thread says when it makes a system call that its filter forbids: one line on standard
//! error, after which the process dies by SIGSYS.
//!
//! All of it happens in a signal handler, so nothing here allocates, locks or formats.

use std::cell::Cell;
use std::io;
use std::os::raw::{c_int, c_void};
use std::ptr;

use super::{call_names, terminal};

/// `si_code` of a SIGSYS that a filter sent (`SYS_SECCOMP`, asm-generic/siginfo.h).
const FROM_A_FILTER: c_int = 1;
/// Longest text kept of a thread, ended by a zero byte if it is shorter.
const WHO_MAX: usize = 80;
/// Longest line.
const LINE_MAX: usize = 256;

/// The members of `siginfo_t` that SIGSYS fills (include/uapi/asm-generic/siginfo.h).
#[repr(C)]
struct SigsysInfo {
    signo: c_int,
    errno: c_int,
    code: c_int,
    _pad: c_int,
    call_address: *mut c_void,
    call: c_int,
    arch: u32,
}

/// Text that a handler can read at any moment.
type Who = [u8; WHO_MAX];

thread_local! {
    /// Without a destructor and made by the compiler, so that reading it calls nothing.
    static WHO: Cell<Who> = const { Cell::new([0; WHO_MAX]) };
}

/// Tells the handler how to name the calling thread.
pub fn name_this_thread(who: &str) {
    let mut text = [0; WHO_MAX];
    for (to, from) in text.iter_mut().zip(who.bytes()) {
        *to = from;
    }
    WHO.set(text);
}

/// What becomes of a call that is not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The process ends.
    Ends,
    /// It is carried out.
    LetThrough,
}

impl Fate {
    fn told(self) -> &'static [u8] {
        match self {
            Self::Ends => b"; if that is no attack, it is a bug of vmm's: see --sandbox log\n",
            Self::LetThrough => b"; it was let through (--sandbox log)\n",
        }
    }
}

/// Tells that the thread `who` made a system call with `second_argument`. Async-signal-safe.
pub fn tell(who: &[u8], call: i64, second_argument: u64, fate: Fate) {
    let line = line(who, call, second_argument, fate);
    // SAFETY: async-signal-safe; the bytes are on the stack.
    unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length) };
}

/// A line on the stack. What does not fit is left out.
struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    fn push(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    fn push_hex(&mut self, number: u64) {
        self.push(b"0x");
        let digits = (64 - (number | 1).leading_zeros()).div_ceil(4);
        for digit in (0..digits).rev() {
            let nibble = (number >> (digit * 4) & 0xf) as usize;
            self.push(&b"0123456789abcdef"[nibble..=nibble]);
        }
    }
}

fn line(who: &[u8], call: i64, second_argument: u64, fate: Fate) -> Line {
    let mut line = Line {
        bytes: [0; LINE_MAX],
        length: 0,
    };
    line.push(b"vmm: sandbox: thread ");
    let end = who.iter().position(|byte| *byte == 0);
    line.push(&who[..end.unwrap_or(who.len())]);
    line.push(b" may not call ");
    match call_names::name(call) {
        Some(name) => line.push(name.as_bytes()),
        None => {
            line.push(b"number ");
            line.push_hex(call.cast_unsigned());
        }
    }
    if call == libc::SYS_ioctl {
        line.push(b" with request ");
        line.push_hex(second_argument);
    }
    line.push(fate.told());
    line
}

/// The second argument of the system call that was made where `context` was saved.
fn second_argument(context: *const c_void) -> u64 {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a ucontext_t that lives until it returns.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    registers[libc::REG_RSI as usize].cast_unsigned()
}

/// What the kernel calls the calling thread: for one that has its filter from whom it was started by.
fn kernels_name() -> Who {
    let mut name = [0; WHO_MAX];
    // SAFETY: writes 16 bytes at most (TASK_COMM_LEN). Every filter allows it.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

extern "C" fn forbidden(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: a siginfo_t is at least as large and as aligned, and of a SIGSYS these are its members.
    let info = unsafe { &*info.cast::<SigsysInfo>() };
    if info.code == FROM_A_FILTER {
        let who = match WHO.get() {
            [0, ..] => kernels_name(),
            who => who,
        };
        tell(&who, info.call.into(), second_argument(context), Fate::Ends);
    }
    terminal::give_back();
    // Not by SA_RESETHAND: another thread that comes here meanwhile would end the process before the
    // line is out.
    // SAFETY: both are async-signal-safe. The signal is blocked until the handler returns, and then
    // ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Whether this kernel takes filters that return `action`.
///
/// # Errors
/// What it says instead.
pub fn look_for(action: u32) -> io::Result<()> {
    // SAFETY: the action lives through the call, which reads it.
    let found = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    match found {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has a forbidden system call end the process with a line.
///
/// # Errors
/// What sigaction says.
pub fn install_handler() -> io::Result<()> {
    // SAFETY: all zero bytes are a sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = forbidden as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: lives through the call; the handler calls only what is async-signal-safe.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> &str {
        std::str::from_utf8(&line.bytes[..line.length]).unwrap()
    }

    #[test]
    fn the_line_names_the_thread_and_the_call() {
        let line = line(b"vcpu3 (vCPU)", libc::SYS_openat, 0, Fate::Ends);
        assert!(text(&line).starts_with("vmm: sandbox: thread vcpu3 (vCPU) may not call openat;"));
        assert!(text(&line).ends_with('\n'));
    }

    #[test]
    fn an_ioctl_is_told_by_its_request() {
        let line = line(b"main", libc::SYS_ioctl, 0xae80, Fate::LetThrough);
        assert!(text(&line).contains("may not call ioctl with request 0xae80;"));
    }

    #[test]
    fn a_call_that_nobody_has_named_is_told_by_its_number() {
        let line = line(b"watch\0\0", 4095, 0, Fate::Ends);
        assert!(text(&line).contains("thread watch may not call number 0xfff;"));
    }

    #[test]
    fn a_line_too_long_is_cut() {
        let line = line(&[b'x'; 2 * LINE_MAX], libc::SYS_read, 0, Fate::Ends);
        assert_eq!(line.length, LINE_MAX);
    }
}
