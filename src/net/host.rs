//! What the machine says of itself: this process' memory, files and time, free room on disks, and the clock's offset.
//! Linux; elsewhere figures are missing.

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt, path::Path};

/// This process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Octets of memory in use (resident).
    pub resident: u64,
    /// Open files, sockets among them.
    pub files: u64,
    /// The most files that may be open.
    pub max_files: u64,
    /// Threads.
    pub threads: u64,
    /// Seconds of processor time used, by the program and for it.
    pub cpu_seconds: f64,
}

/// This process now; None where the system does not say.
pub fn process() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in parentheses and may hold anything; what is counted from there on is plain.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n)?.parse::<u64>().ok();
    // SAFETY: both only read a constant of the system.
    let (page, ticks) = unsafe { (libc::sysconf(libc::_SC_PAGESIZE), libc::sysconf(libc::_SC_CLK_TCK)) };
    Some(Process {
        resident: field(21)? * page.max(0) as u64,
        files: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        max_files: max_files(),
        threads: field(17)?,
        cpu_seconds: (field(11)? + field(12)?) as f64 / ticks.max(1) as f64,
    })
}

fn max_files() -> u64 {
    // SAFETY: a zeroed rlimit is only written into.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 { limit.rlim_cur } else { 0 }
    }
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Octets that this program may still write.
    pub free: u64,
    /// Octets in all.
    pub size: u64,
    /// Tells one file system from another.
    pub device: u64,
}

/// The file system that holds `path`.
///
/// # Errors
/// The path is not there, or the system does not say.
pub fn disk(path: &Path) -> io::Result<Disk> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(path)?.dev();
    let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: a zeroed statvfs is only written into; the name ends with a zero.
    let (done, found) = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut found), found)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let unit = found.f_frsize;
    Ok(Disk { free: found.f_bavail * unit, size: found.f_blocks * unit, device })
}

/// What the kernel's clock discipline says (`adjtimex`): seconds of offset from true time; None where the clock is not
/// synchronised and the offset unknown.
pub fn clock_offset() -> Option<f64> {
    // SAFETY: a zeroed timex with `modes` 0 is only read into.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex)
    };
    if state < 0 || state == libc::TIME_ERROR {
        return None;
    }
    let unit = if timex.status & libc::STA_NANO != 0 { 1e9 } else { 1e6 };
    Some(timex.offset as f64 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let before = process().expect("Linux says");
        assert!(before.resident > 1 << 20 && before.threads >= 1 && before.max_files >= before.files, "{before:?}");
        let _open: Vec<fs::File> = (0..50).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        // Other tests open and close files meanwhile: not by tens.
        assert!(process().expect("Linux says").files >= before.files + 25);
    }

    #[test]
    fn a_disk_has_room_and_a_missing_one_is_an_error() {
        let disk_of = disk(&std::env::temp_dir()).expect("a disk");
        assert!(disk_of.size > 0 && disk_of.free <= disk_of.size, "{disk_of:?}");
        assert!(disk(Path::new("/no/such/folder")).is_err());
    }
}
