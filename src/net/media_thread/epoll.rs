//! The few system calls that the standard library lacks: epoll, an eventfd to wake it, the thread's CPU.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// One epoll instance. What is registered is level-triggered and for reading only.
#[derive(Debug)]
pub(super) struct Epoll {
    fd: OwnedFd,
    /// The kernel knows epoll_pwait2 (5.11), which waits with nanoseconds.
    precise: bool,
}

/// What was ready; only as many as the last wait gave are valid.
pub(super) type Events = Vec<libc::epoll_event>;

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; a valid descriptor is owned from here on.
        let fd = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd, precise: true })
    }

    pub(super) fn add(&self, what: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` lives through the call.
        checked(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, what.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    pub(super) fn remove(&self, what: &impl AsRawFd) {
        // SAFETY: a null event is allowed for EPOLL_CTL_DEL since Linux 2.6.9. An error means it is gone already.
        unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, what.as_raw_fd(), std::ptr::null_mut());
        }
    }

    /// Waits for something ready; gives how many of `events` are filled. None waits for ever.
    pub(super) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let (fd, room) = (self.fd.as_raw_fd(), events.len() as libc::c_int);
        if self.precise {
            let spec = timeout.map(|t| libc::timespec {
                tv_sec: t.as_secs() as libc::time_t,
                tv_nsec: t.subsec_nanos() as libc::c_long,
            });
            let spec_pointer = spec.as_ref().map_or(std::ptr::null(), |s| s as *const libc::timespec);
            // SAFETY: `events` has `room` places, `spec` lives through the call, and there is no signal mask.
            let n = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    fd,
                    events.as_mut_ptr(),
                    room,
                    spec_pointer,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            if n >= 0 {
                return Ok(n as usize);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => return Ok(0),
                Some(libc::ENOSYS | libc::EPERM) => self.precise = false,
                _ => return Err(error),
            }
        }
        let millis = timeout.map_or(-1, |t| t.as_micros().div_ceil(1000).min(60_000) as libc::c_int);
        // SAFETY: as above.
        match checked(unsafe { libc::epoll_wait(fd, events.as_mut_ptr(), room, millis) }) {
            Ok(n) => Ok(n as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Wakes a thread that waits in epoll.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        // SAFETY: no pointers; a valid descriptor is owned from here on.
        let fd = unsafe { checked(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))? };
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Waker(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight octets are read from `one`. A full counter wakes all the same.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight octets are written to `count`.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

/// Takes a socket's peer away again, so that it receives from anywhere.
pub(super) fn disconnect(socket: &UdpSocket) {
    // SAFETY: an address of family AF_UNSPEC is all zeroes; connect(2) says that it dissolves the association.
    unsafe {
        let address: libc::sockaddr_in = std::mem::zeroed();
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        );
    }
}

/// Keeps the calling thread on one CPU.
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: a zeroed set is empty, CPU_SET checks its bound, and the set lives through the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    checked(result).map(drop)
}
