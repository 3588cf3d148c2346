//! Files that a person names: read once, whole and bounded.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads a regular file of at most `most` bytes. A named pipe is not waited for, and a device that never
/// ends is not read.
///
/// # Errors
/// Of the file system; [`ErrorKind::InvalidInput`] for what is no regular file, and
/// [`ErrorKind::FileTooLarge`] for what is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("is larger than {most} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Puts `bytes` in the place of a file, or makes it: whole, or not at all.
///
/// # Errors
/// Of the file system; what was there before is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, path));
    written.inspect_err(|_| {
        // What is left of the draft is of no use.
        let _ = std::fs::remove_file(&draft);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("report");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(replace(folder.path(), b"x").is_err(), "a folder");
        assert!(replace(&folder.path().join("a/b"), b"x").is_err());
        let left: Vec<_> = folder.path().read_dir().unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left of what failed");
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let folder = tempfile::TempDir::new().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for odd in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = read(odd, 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", odd.display());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"0123456789");
        assert_eq!(read(&file, 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
