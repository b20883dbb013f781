use std::os::fd::FromRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

/// Both ends of a new terminal; the second is what a program has as its standard input.
fn terminal() -> (File, File) {
    let (mut ours, mut programs) = (-1, -1);
    // SAFETY: two descriptors to fill; no name, mode or size is asked for.
    let made = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut programs,
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
        )
    };
    assert_eq!(made, 0);
    // SAFETY: new descriptors, nobody else's.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(programs)) }
}

/// A process has one raw terminal at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, PartialEq, Eq)]
struct Flags(u32, u32, u32);

fn flags(terminal: &File) -> Flags {
    let modes = Modes::of(terminal.try_clone().unwrap()).unwrap();
    let users = modes.users;
    Flags(users.c_iflag, users.c_oflag, users.c_lflag)
}

#[test]
fn keys_go_through_and_the_mode_comes_back() {
    let _alone = alone();
    let (_ours, programs) = terminal();
    let before = flags(&programs);
    let raw = RawTerminal::take(programs.try_clone().unwrap())
        .unwrap()
        .unwrap();
    let Flags(_, output, local) = flags(&programs);
    assert_eq!(local & (libc::ISIG | libc::ICANON | libc::ECHO), 0);
    assert_eq!(output & libc::OPOST, libc::OPOST);
    drop(raw);
    assert_eq!(flags(&programs), before);
}

#[test]
fn a_handler_gives_the_terminal_back_and_takes_it_again() {
    let _alone = alone();
    let (_ours, programs) = terminal();
    let before = flags(&programs);
    let raw = RawTerminal::take(programs.try_clone().unwrap())
        .unwrap()
        .unwrap();
    let taken_mode = flags(&programs);
    taken().unwrap().give_back();
    assert_eq!(flags(&programs), before);
    go_on(libc::SIGCONT);
    assert_eq!(flags(&programs), taken_mode);
    drop(raw);
    // With no raw terminal they do nothing.
    go_on(libc::SIGCONT);
    assert_eq!(flags(&programs), before);
}

/// Who takes `signal`.
fn handler(signal: c_int) -> libc::sighandler_t {
    // SAFETY: all zero bytes are a sigaction, and none is set.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks.
    unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) };
    now.sa_sigaction
}

#[test]
fn the_handlers_are_those_of_before_afterwards() {
    let _alone = alone();
    let (_ours, programs) = terminal();
    let before = handler(libc::SIGTSTP);
    let raw = RawTerminal::take(programs).unwrap().unwrap();
    assert_ne!(handler(libc::SIGTSTP), before);
    drop(raw);
    assert_eq!(handler(libc::SIGTSTP), before);
}

#[test]
fn no_signal_that_ends_the_process_leaves_the_terminal_raw() {
    let _alone = alone();
    let (_ours, programs) = terminal();
    let raw = RawTerminal::take(programs).unwrap().unwrap();
    // SIGINT and SIGTERM are data, SIGPIPE is ignored, and SIGXFSZ from the first snapshot on;
    // SIGKILL is nobody's. The others do not end a process.
    let left_alone = [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGPIPE,
        libc::SIGXFSZ,
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGCHLD,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    for signal in (1..=libc::SIGSYS).filter(|signal| !left_alone.contains(signal)) {
        assert_ne!(handler(signal), libc::SIG_DFL, "signal {signal}");
    }
    drop(raw);
}

#[test]
fn what_is_no_terminal_is_refused_and_a_second_one_too() {
    let _alone = alone();
    let file = File::open("/dev/null").unwrap();
    assert!(RawTerminal::take(file).is_err());
    let (_ours, first) = terminal();
    let (_others, second) = terminal();
    let raw = RawTerminal::take(first).unwrap().unwrap();
    let before = flags(&second);
    assert!(RawTerminal::take(second.try_clone().unwrap()).is_err());
    assert_eq!(flags(&second), before);
    drop(raw);
}
