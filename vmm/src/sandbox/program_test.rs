use super::*;
use crate::kvm::confined::KVM_RUN;
use crate::sandbox::call::{Only, any, ioctl};
use crate::sandbox::role::Role;

/// The process that the programs are for.
const PID: u32 = 4711;
/// `libc::SYS_ioctl`.
const SYS_IOCTL: u32 = 16;
/// `_IO(KVMIO, 0x41)`, which no thread needs once the machine is there.
const KVM_CREATE_VCPU: u64 = 0xae41;

/// What the kernel answers to a call.
fn walk(program: &[sock_filter], number: u32, arguments: [u64; 6]) -> u32 {
    let load = |at: u32| match at {
        ARCH_AT => X86_64,
        NUMBER_AT => number,
        _ => {
            let at = at.checked_sub(ARGUMENTS_AT).unwrap();
            let argument = arguments[at as usize / 8];
            assert_eq!(at % 4, 0, "a word begins at {at}");
            u32::try_from(argument >> (8 * (at % 8)) & 0xffff_ffff).unwrap()
        }
    };
    let mut loaded = 0;
    let mut at = 0;
    loop {
        let now = &program[at];
        at += 1;
        match now.code {
            LOAD_WORD => loaded = load(now.k),
            AND => loaded &= now.k,
            JUMP => at += now.k as usize,
            JUMP_IF_EQUAL => at += usize::from(if loaded == now.k { now.jt } else { now.jf }),
            JUMP_IF_NOT_BELOW => at += usize::from(if loaded >= now.k { now.jt } else { now.jf }),
            RETURN => return now.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn allow() -> u32 {
    SeccompAction::Allow.into()
}

fn trap() -> u32 {
    SeccompAction::Trap.into()
}

fn fails_with(errno: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

fn of(role: Role) -> BpfProgram {
    program(role.calls(), PID, trap()).unwrap()
}

/// What becomes of it in a thread of `role`. Arguments that are left out are 0.
fn answer<const N: usize>(role: Role, call: i64, arguments: [u64; N]) -> u32 {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    walk(&of(role), u32::try_from(call).unwrap(), all)
}

/// What the table says of a call: read row by row, not searched.
fn said(role: Role, number: u32, arguments: [u64; 6]) -> u32 {
    let rows = || role.calls().filter(|call| call.number == i64::from(number));
    let low = |argument: u8| u32::try_from(arguments[usize::from(argument)] & 0xffff_ffff).unwrap();
    let is_allowed = rows().any(|call| {
        let mut conditions = call.only.conditions(PID).into_iter();
        call.refusal().is_none() && conditions.all(|it| low(it.argument) & it.mask == it.value)
    });
    let refusal = rows().find_map(|call| call.refusal());
    match (is_allowed, refusal) {
        (true, _) => allow(),
        (false, Some(errno)) => fails_with(errno),
        (false, None) => trap(),
    }
}

#[test]
fn every_role_is_allowed_what_its_list_says_and_nothing_else() {
    for role in Role::ALL {
        let program = of(role);
        let assert_as_said = |number, arguments| {
            let answer = walk(&program, number, arguments);
            let said = said(role, number, arguments);
            assert_eq!(answer, said, "{role}, call {number}, {arguments:x?}");
        };
        for number in (0..600).chain([0x4000_0000, u32::MAX]) {
            for all in [0, 1, u64::MAX] {
                assert_as_said(number, [all; 6]);
            }
        }
        // Each row's own arguments, and those beside them.
        for call in role.calls() {
            let number = u32::try_from(call.number).unwrap();
            for beside in [0, 1, u64::MAX, 0x100, 1 << 32] {
                for rest in [0, u64::MAX] {
                    let mut arguments = [rest; 6];
                    for it in call.only.conditions(PID) {
                        let value = u64::from(it.value) | rest & !u64::from(it.mask);
                        arguments[usize::from(it.argument)] = value.wrapping_add(beside);
                    }
                    assert_as_said(number, arguments);
                }
            }
        }
    }
}

#[test]
fn what_is_too_far_for_a_conditional_jump_is_reached_all_the_same() {
    let calls = (0..1000).step_by(2).map(|number| any(number, ""));
    let requests = (0..1000).map(|number| ioctl("", number * 3, ""));
    let calls: Vec<_> = calls
        .filter(|call| call.number != libc::SYS_ioctl)
        .chain(requests)
        .collect();
    let program = program(&calls, PID, trap()).unwrap();
    for number in (0..1001).filter(|number| i64::from(*number) != libc::SYS_ioctl) {
        let answer = walk(&program, number, [0; 6]);
        let right = if number % 2 == 0 && number < 1000 {
            allow()
        } else {
            trap()
        };
        assert_eq!(answer, right, "call {number}");
    }
    for request in 0..3001 {
        let answer = walk(&program, SYS_IOCTL, [0, request, 0, 0, 0, 0]);
        let right = if request % 3 == 0 && request < 3000 {
            allow()
        } else {
            trap()
        };
        assert_eq!(answer, right, "request {request}");
    }
}

#[test]
fn no_thread_makes_memory_executable() {
    const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    const EXECUTE: u64 = READ_WRITE | libc::PROT_EXEC as u64;
    const ANONYMOUS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    const OF_A_FILE: u64 = libc::MAP_PRIVATE as u64;
    for role in Role::ALL {
        let protected = |how| answer(role, libc::SYS_mprotect, [0x1000, 0x1000, how]);
        assert_eq!(protected(READ_WRITE), allow(), "{role}");
        assert_eq!(protected(EXECUTE), trap(), "{role}");
        let mapped = |how, what| answer(role, libc::SYS_mmap, [0, 0x1000, how, what]);
        assert_eq!(mapped(READ_WRITE, ANONYMOUS), allow(), "{role}");
        let refused = match role {
            // Makes the guest's memory, which may be a snapshot's file.
            Role::Arrival => allow(),
            // A module of the C library's that it does without.
            Role::Migration => fails_with(libc::EPERM),
            _ => trap(),
        };
        assert_eq!(mapped(EXECUTE, ANONYMOUS), refused, "{role}");
        assert_eq!(mapped(READ_WRITE, OF_A_FILE), refused, "{role}");
    }
}

#[test]
fn signals_go_to_this_process_alone() {
    let (own, other) = (u64::from(PID), u64::from(PID) + 1);
    for role in Role::ALL {
        assert_eq!(answer(role, libc::SYS_tgkill, [own, 1, 34]), allow());
        assert_eq!(answer(role, libc::SYS_tgkill, [other, 1, 34]), trap());
        assert_eq!(answer(role, libc::SYS_kill, [other, 9]), trap());
    }
    assert_eq!(answer(Role::First, libc::SYS_kill, [own, 19]), allow());
    assert_eq!(answer(Role::Vcpu, libc::SYS_kill, [own, 19]), trap());
}

fn answer_to_ioctl(role: Role, request: u64) -> u32 {
    answer(role, libc::SYS_ioctl, [7, request])
}

#[test]
fn a_vcpu_makes_the_ioctls_of_its_list() {
    let asked = |request| answer_to_ioctl(Role::Vcpu, request);
    assert_eq!(asked(KVM_RUN), allow());
    assert_eq!(asked(KVM_CREATE_VCPU), trap());
    assert_eq!(asked(libc::FIONBIO), trap());
    // The kernel takes a request as 32 bits.
    assert_eq!(asked(KVM_RUN | 1 << 32), allow());
    for call in Role::Vcpu.calls() {
        if let Only::Request(request) = call.only {
            assert_eq!(asked(request.value), allow(), "{}", request.name);
        }
    }
}

#[test]
fn no_role_types_into_the_users_shell() {
    for role in Role::ALL {
        let typed = answer_to_ioctl(role, libc::TIOCSTI);
        assert_eq!(typed, trap(), "{role}");
    }
}

#[test]
fn who_builds_a_machine_makes_the_ioctls_of_kvm_and_few_others() {
    let asked = |request| answer_to_ioctl(Role::Arrival, request);
    for request in [KVM_RUN, KVM_CREATE_VCPU, libc::FIONBIO, libc::TCGETS] {
        assert_eq!(asked(request), allow(), "{request:#x}");
    }
    for request in [libc::FIONREAD + 0x1000, libc::TIOCSCTTY, u64::MAX] {
        assert_eq!(asked(request), trap(), "{request:#x}");
    }
}

#[test]
fn a_thread_asks_little_of_itself() {
    let asked = |option: libc::c_int| {
        let option = option.cast_unsigned().into();
        answer(Role::Arrival, libc::SYS_prctl, [option])
    };
    assert_eq!(asked(libc::PR_SET_NO_NEW_PRIVS), allow());
    assert_eq!(asked(libc::PR_SET_DUMPABLE), trap());
    assert_eq!(asked(libc::PR_SET_SECCOMP), trap());
}

#[test]
fn threads_are_started_and_no_processes() {
    const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    for role in [Role::First, Role::Door, Role::Arrival] {
        assert_eq!(answer(role, libc::SYS_clone, [THREAD]), allow(), "{role}");
        let process = libc::SIGCHLD.cast_unsigned().into();
        assert_eq!(answer(role, libc::SYS_clone, [process]), trap(), "{role}");
        // Its arguments cannot be looked at, so that the C library has to do without.
        let unknown = fails_with(libc::ENOSYS);
        assert_eq!(answer(role, libc::SYS_clone3, [0]), unknown, "{role}");
    }
    assert_eq!(answer(Role::Vcpu, libc::SYS_clone, [THREAD]), trap());
}

#[test]
fn a_vcpu_sets_no_handler_but_of_what_ends_it() {
    let handles = |signal: libc::c_int| {
        let signal = signal.cast_unsigned().into();
        answer(Role::Vcpu, libc::SYS_rt_sigaction, [signal])
    };
    assert_eq!(handles(libc::SIGSEGV), allow());
    assert_eq!(handles(libc::SIGTERM), trap());
    let duplicates = |command: libc::c_int| {
        let command = command.cast_unsigned().into();
        answer(Role::Debugger, libc::SYS_fcntl, [3, command])
    };
    assert_eq!(duplicates(libc::F_DUPFD_CLOEXEC), allow());
    assert_eq!(duplicates(libc::F_SETOWN), trap());
}
