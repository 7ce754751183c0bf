//! The module as the tests load it: the files of `src/` themselves, but for `place.rs`. Here a word of the PAM line says where the
//! host is, so that real libpam can be tested without touching the machine. What ships has none of this.
//!
//! What it leaves untested is `src/place.rs`: NSS, the real uid, `/proc/self/loginuid`. The lab does those.

#![allow(missing_docs, unreachable_pub, reason = "the files of src/, as private modules")]

#[path = "../../src/account.rs"]
pub mod account;
#[path = "../../src/asks.rs"]
pub mod asks;
#[path = "../../src/call.rs"]
pub mod call;
#[path = "../../src/cause.rs"]
pub mod cause;
#[path = "../../src/ffi.rs"]
pub mod ffi;
#[path = "../../src/files.rs"]
pub mod files;
#[path = "../../src/gate.rs"]
pub mod gate;
#[path = "../../src/glass.rs"]
pub mod glass;
#[path = "../../src/host.rs"]
pub mod host;
#[path = "../../src/limit.rs"]
pub mod limit;
#[path = "../../src/line.rs"]
pub mod line;
#[path = "../../src/pam.rs"]
pub mod pam;
pub mod place;
#[path = "../../src/register.rs"]
pub mod register;
#[path = "../../src/rescue.rs"]
pub mod rescue;
#[path = "../../src/settings.rs"]
pub mod settings;
#[path = "../../src/ssh_auth.rs"]
pub mod ssh_auth;
#[path = "../../src/tell.rs"]
pub mod tell;
#[path = "../../src/warden.rs"]
pub mod warden;

/// Tells the test, in a variable of PAM's, what pam_systemd would read: an application may not read a module's data itself.
///
/// # Safety
/// For libpam to call.
// SAFETY: the name is PAM's own for this function of a module, and its signature is pam_modules.h's.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_chauthtok(
    pamh: *mut pam_sys::types::PamHandle,
    _: libc::c_int,
    _: libc::c_int,
    _: *const *const libc::c_char,
) -> libc::c_int {
    let mut data: *const libc::c_void = std::ptr::null();
    // SAFETY: the handle is live; the item, if there is one, is a C string that the module set; libpam copies the variable.
    unsafe {
        if pam_sys::raw::pam_get_data(pamh, c"systemd.runtime_max_sec".as_ptr(), &raw mut data) == 0 {
            let text = std::ffi::CStr::from_ptr(data.cast()).to_str().expect("a number");
            let pair = std::ffi::CString::new(format!("STINT_TEST_LIMIT={text}")).expect("no NUL");
            pam_sys::raw::pam_putenv(pamh, pair.as_ptr());
        }
    }
    0
}
