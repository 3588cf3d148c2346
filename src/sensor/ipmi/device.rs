//! A BMC behind the kernel's device. The calls of its driver that need `unsafe` are ipmi-rs's.

use super::trouble::Trouble;
use super::{Link, dcmi};
use ipmi_rs::File;
use ipmi_rs::connection::{
    IpmiConnection, LogicalUnit, Message, NetFn, Request, RequestTargetAddress,
};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The device, opened when it is asked.
pub(super) struct Device {
    path: PathBuf,
    timeout: Duration,
    file: Option<File>,
}

impl Device {
    pub(super) fn new(path: &Path, timeout: Duration) -> Self {
        Self {
            path: path.to_owned(),
            timeout,
            file: None,
        }
    }

    /// Whether it is there and can be opened. It stays open.
    pub(super) fn open(&mut self) -> Result<&mut File, Trouble> {
        let file = match self.file.take() {
            Some(file) => file,
            // A pipe would be waited for.
            None if !is_device(&self.path)? => return Err(Trouble::NoDevice),
            None => File::new(&self.path, self.timeout).map_err(Trouble::Device)?,
        };
        Ok(self.file.insert(file))
    }

    fn exchange(&mut self) -> Result<Vec<u8>, Trouble> {
        let timeout = self.timeout;
        let file = self.open()?;
        let message = Message::new_request(
            NetFn::from(dcmi::NETFN),
            dcmi::COMMAND,
            dcmi::REQUEST.to_vec(),
        );
        let target = RequestTargetAddress::Bmc(LogicalUnit::Zero);
        let mut request = Request::new(message, target);
        let response = file
            .send_recv(&mut request)
            .map_err(|error| match error.kind() {
                // What ipmi-rs says when poll(2) has found nothing in time.
                io::ErrorKind::WouldBlock => Trouble::Stuck(timeout),
                _ => Trouble::Device(error),
            })?;
        let mut answer = vec![response.cc()];
        answer.extend_from_slice(response.data());
        if response.netfn_raw() != dcmi::NETFN | 1 || response.cmd() != dcmi::COMMAND {
            return Err(Trouble::Malformed(answer));
        }
        Ok(answer)
    }
}

fn is_device(path: &Path) -> Result<bool, Trouble> {
    let metadata = path.metadata().map_err(Trouble::Device)?;
    Ok(metadata.file_type().is_char_device())
}

impl Link for Device {
    fn ask(&mut self) -> Result<Vec<u8>, Trouble> {
        let answer = self.exchange();
        if answer.is_ok() {
            return answer;
        }
        // An answer that comes late would be taken for the next one's: the kernel drops it with the file.
        self.file = None;
        match answer {
            // A signal to the process, such as a reload, came to this thread while it waited.
            Err(Trouble::Device(error)) if error.kind() == io::ErrorKind::Interrupted => {
                let answer = self.exchange();
                self.file.take_if(|_| answer.is_err());
                answer
            }
            answer => answer,
        }
    }
}
