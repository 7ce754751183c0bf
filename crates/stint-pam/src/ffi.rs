//! The edge to C: the functions that libpam calls, and those of libpam that are called. The only `unsafe` of the module.
//!
//! libpam's contract, on which every block below rests: it calls with a handle that is valid until the call returns, from one thread,
//! and with `argc` C strings in `argv`. What `pam_get_item` and `pam_getenv` return is valid until the item changes; it is copied at
//! once.

#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pam_sys::raw::{pam_get_item, pam_getenv, pam_set_data};
use pam_sys::types::{PamFlag, PamHandle, PamItemType, PamMessageStyle, PamReturnCode};
use zeroize::Zeroizing;

use crate::line::{self, Phase};
use crate::pam::{Answer, Echo, Item, Level, Pam, Style};
use crate::rescue;

// What pam-sys lacks, from Linux-PAM's security/pam_ext.h.
unsafe extern "C" {
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
    fn pam_prompt(
        pamh: *mut PamHandle,
        style: c_int,
        response: *mut *mut c_char,
        format: *const c_char,
        ...
    ) -> c_int;
}

/// The data item that pam_systemd reads (pam_systemd(8)).
const RUNTIME_MAX: &CStr = c"systemd.runtime_max_sec";

/// Decides on an account: the line `account`.
///
/// # Safety
/// For libpam to call.
// SAFETY: the name is PAM's own for this function of a module, and its signature is pam_modules.h's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_acct_mgmt(
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: handle and arguments come from libpam, as `serve` requires.
    unsafe { serve(pamh, flags, argc, argv, Phase::Account) }
}

/// Opens a session: the lines `session limit` and `session register`.
///
/// # Safety
/// For libpam to call.
// SAFETY: the name is PAM's own for this function of a module, and its signature is pam_modules.h's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_open_session(
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: handle and arguments come from libpam, as `serve` requires.
    unsafe { serve(pamh, flags, argc, argv, Phase::Session) }
}

macro_rules! not_ours {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        // SAFETY: the name is PAM's own for this function of a module, and its signature is pam_modules.h's.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(_: *mut PamHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
            PamReturnCode::IGNORE as c_int
        }
    )*};
}
not_ours!(
    /// Closing a session is the warden's to see.
    pam_sm_close_session,
    /// Who somebody is, is not ours to say.
    pam_sm_authenticate,
    /// There are no credentials to set.
    pam_sm_setcred
);

/// Runs a line. A panic is a fault of the module's, and denies all but those whom [`rescue`] names; none may unwind into C.
///
/// # Safety
/// `pamh` is a live handle, and `argv` has `argc` C strings.
unsafe fn serve(
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
    phase: Phase,
) -> c_int {
    // The hook of Rust's own library writes to the application's standard error, which may be a closed pipe or a user's connection,
    // and reads RUST_BACKTRACE, which a user of sudo chooses.
    std::panic::set_hook(Box::new(|_| ()));
    let pam = Handle { pamh, silent: flags & PamFlag::SILENT as c_int != 0 };
    // SAFETY: the caller gives `argc` C strings in `argv`.
    let words = || unsafe { arguments(argc, argv) };
    let answer = guarded(|| line::run(&pam, phase, &words()))
        .or_else(|panic| guarded(|| rescue::run(&pam, &words(), &format!("pam_stint failed ({panic})"))));
    match answer {
        Ok(Answer::Allowed) => PamReturnCode::SUCCESS as c_int,
        Ok(Answer::NotOurs) => PamReturnCode::IGNORE as c_int,
        Ok(Answer::Denied) => PamReturnCode::PERM_DENIED as c_int,
        Err(_) => {
            // SAFETY: the handle is live, and format and argument are C strings.
            unsafe {
                pam_syslog(pamh, libc::LOG_ALERT, c"%s".as_ptr(), c"denied: pam_stint failed twice".as_ptr());
            }
            PamReturnCode::PERM_DENIED as c_int
        }
    }
}

/// Runs some work; a panic comes back as what it says.
fn guarded(work: impl FnOnce() -> Answer) -> Result<Answer, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = said(&*panic);
        // Dropping it could panic again.
        std::mem::forget(panic);
        said
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}

/// # Safety
/// `argv` has `argc` C strings.
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(argc).unwrap_or(0);
    if argv.is_null() {
        return Vec::new();
    }
    (0..count)
        .map(|i| {
            // SAFETY: `i` is below `argc`, and each entry is a C string.
            let word = unsafe { CStr::from_ptr(*argv.add(i)) };
            word.to_string_lossy().into_owned()
        })
        .collect()
}

/// A live handle of libpam.
struct Handle {
    pamh: *mut PamHandle,
    silent: bool,
}

impl Pam for Handle {
    fn item(&self, item: Item) -> Option<String> {
        let item = match item {
            Item::Service => PamItemType::SERVICE,
            Item::User => PamItemType::USER,
            Item::CallingUser => PamItemType::RUSER,
            Item::RemoteHost => PamItemType::RHOST,
            Item::Terminal => PamItemType::TTY,
        };
        let mut value: *const c_void = std::ptr::null();
        // SAFETY: the handle is live, and `value` is ours to be written to.
        let code = unsafe { pam_get_item(self.pamh, item as c_int, &raw mut value) };
        if code != PamReturnCode::SUCCESS as c_int {
            return None;
        }
        // SAFETY: each of these items is a C string or null, and is copied before anything can change it.
        unsafe { copied(value.cast()) }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is live, `name` is a C string, and the value is copied before anything can change it.
        unsafe { copied(pam_getenv(self.pamh, name.as_ptr())) }
    }

    fn show(&self, style: Style, text: &str) {
        let style = match style {
            Style::Error => PamMessageStyle::ERROR_MSG,
            Style::Info if self.silent => return,
            Style::Info => PamMessageStyle::TEXT_INFO,
        };
        let text = c_string(text);
        // SAFETY: the handle is live, format and argument are C strings, and no response is asked for.
        unsafe {
            pam_prompt(self.pamh, style as c_int, std::ptr::null_mut(), c"%s".as_ptr(), text.as_ptr());
        }
    }

    fn ask(&self, echo: Echo, prompt: &str) -> Option<Zeroizing<String>> {
        let style = match echo {
            Echo::On => PamMessageStyle::PROMPT_ECHO_ON,
            Echo::Off => PamMessageStyle::PROMPT_ECHO_OFF,
        };
        let prompt = c_string(prompt);
        let mut response: *mut c_char = std::ptr::null_mut();
        // SAFETY: the handle is live, format and argument are C strings, and `response` is ours to be written to.
        let code = unsafe {
            pam_prompt(self.pamh, style as c_int, &raw mut response, c"%s".as_ptr(), prompt.as_ptr())
        };
        // SAFETY: what libpam wrote is null, or a C string that malloc made and that is ours from here on.
        let answer = unsafe { taken(response) };
        answer.filter(|answer| code == PamReturnCode::SUCCESS as c_int && !answer.is_empty())
    }

    fn log(&self, level: Level, text: &str) {
        let priority = match level {
            Level::Alert => libc::LOG_ALERT,
            Level::Warning => libc::LOG_WARNING,
            Level::Notice => libc::LOG_NOTICE,
            Level::Debug => libc::LOG_DEBUG,
        };
        let text = c_string(text);
        // SAFETY: the handle is live, and format and argument are C strings.
        unsafe { pam_syslog(self.pamh, priority, c"%s".as_ptr(), text.as_ptr()) }
    }

    fn limit_session(&self, seconds: u64) -> bool {
        let Ok(text) = CString::new(seconds.to_string()) else { return false };
        let data = text.into_raw();
        // SAFETY: the handle is live; libpam keeps `data` and gives it back to `free_text`, once.
        let code = unsafe { pam_set_data(self.pamh, RUNTIME_MAX.as_ptr(), data.cast(), Some(free_text)) };
        if code != PamReturnCode::SUCCESS as c_int {
            // SAFETY: libpam did not take it, so it is still ours, and it came from `CString::into_raw`.
            drop(unsafe { CString::from_raw(data) });
            return false;
        }
        true
    }
}

extern "C" fn free_text(_: *mut PamHandle, data: *mut c_void, _: c_int) {
    if !data.is_null() {
        // SAFETY: libpam gives back what `limit_session` gave it, from `CString::into_raw`, once.
        drop(unsafe { CString::from_raw(data.cast()) });
    }
}

/// A text for C, up to its first NUL: part of a line is better than none.
fn c_string(text: &str) -> CString {
    let part = text.split('\0').next().unwrap_or_default();
    CString::new(part).unwrap_or_default()
}

/// Takes an answer: copies it, wipes it, and frees it. What is not UTF-8 is none.
///
/// # Safety
/// `answer` is null, or a C string from malloc that nobody else has.
unsafe fn taken(answer: *mut c_char) -> Option<Zeroizing<String>> {
    if answer.is_null() {
        return None;
    }
    // SAFETY: it is not null, so it is a C string.
    let bytes = unsafe { CStr::from_ptr(answer) }.to_bytes();
    let length = bytes.len();
    let text = std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned()));
    // SAFETY: `length` bytes before its NUL are ours, and malloc made it; neither it nor `bytes` is used again.
    unsafe {
        libc::explicit_bzero(answer.cast(), length);
        libc::free(answer.cast());
    }
    text
}

/// Copies a C string; null and empty are none.
///
/// # Safety
/// `text` is null or a C string.
unsafe fn copied(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: it is not null, so it is a C string.
    let text = unsafe { CStr::from_ptr(text) };
    (!text.is_empty()).then(|| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_c_ends_at_its_first_nul() {
        assert_eq!(c_string("a\0b").as_c_str(), c"a");
        assert_eq!(c_string("ab").as_c_str(), c"ab");
        assert_eq!(c_string("\0").as_c_str(), c"");
    }
}
