//! A pool of blocks for generators that come and go, as those of a recursive walk do.
use alloc::alloc::{alloc, dealloc, handle_alloc_error};
use alloc::rc::Rc;
use core::alloc::Layout;
use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use crate::body::Core;
use crate::frame::{Head, VTable};
use crate::handle::Handle;
use crate::input::{Input, Outcome};

/// Sizes are rounded up to this, which is also the alignment of every block.
const STEP: usize = 32;
/// Larger blocks are not kept.
const CLASSES: usize = 32;

/// Keeps the blocks of ended generators for the next ones of the same size.
///
/// Cloning it gives another handle on the same pool. The blocks are freed when the last handle and the last generator of
/// the pool are gone. It belongs to one thread, and so do the generators made with it.
#[derive(Clone, Default)]
pub struct Pool {
    free: Rc<FreeLists>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// One list of free blocks per class of sizes; a free block's first word leads to the next one.
struct FreeLists {
    heads: [Cell<*mut u8>; CLASSES],
}

impl Default for FreeLists {
    fn default() -> Self {
        Self { heads: [const { Cell::new(ptr::null_mut()) }; CLASSES] }
    }
}

impl FreeLists {
    /// The class and the layout of a kept block for `layout`; None if such blocks are not kept.
    const fn class(layout: Layout) -> Option<(usize, Layout)> {
        let class = layout.size().div_ceil(STEP);
        if class == 0 || class > CLASSES || layout.align() > STEP {
            return None;
        }
        match Layout::from_size_align(class * STEP, STEP) {
            Ok(rounded) => Some((class - 1, rounded)),
            Err(_) => None,
        }
    }

    #[inline]
    fn take(&self, layout: Layout) -> *mut u8 {
        let Some((class, rounded)) = Self::class(layout) else {
            // SAFETY: blocks are not of size zero: they begin with a frame.
            return unsafe { alloc(layout) };
        };
        let head = self.heads[class].get();
        if head.is_null() {
            // SAFETY: the rounded size is at least `STEP`.
            return unsafe { alloc(rounded) };
        }
        // SAFETY: a free block's first word was written by `put`.
        self.heads[class].set(unsafe { head.cast::<*mut u8>().read() });
        head
    }

    /// # Safety
    /// `block` came from `take` of these lists with the same layout, and is not used any more.
    #[inline]
    unsafe fn put(&self, block: *mut u8, layout: Layout) {
        let Some((class, _)) = Self::class(layout) else {
            // SAFETY: such blocks were allocated with their own layout.
            return unsafe { dealloc(block, layout) };
        };
        // SAFETY: the block is ours again, and large and aligned enough for a pointer.
        unsafe { block.cast::<*mut u8>().write(self.heads[class].get()) };
        self.heads[class].set(block);
    }
}

impl Drop for FreeLists {
    fn drop(&mut self) {
        for (class, head) in self.heads.iter().enumerate() {
            let Ok(layout) = Layout::from_size_align((class + 1) * STEP, STEP) else { continue };
            let mut block = head.get();
            while !block.is_null() {
                // SAFETY: free blocks were allocated with their class's layout, and lead to the next one.
                unsafe {
                    let next = block.cast::<*mut u8>().read();
                    dealloc(block, layout);
                    block = next;
                }
            }
        }
    }
}

/// A block of a pool: the body, and the pool that it goes back to.
#[repr(C)]
pub(crate) struct Pooled<'env, Y, I, T, F, Fut> {
    core: ManuallyDrop<Core<'env, Y, I, T, F, Fut>>,
    pool: ManuallyDrop<Rc<FreeLists>>,
}

impl<'env, Y, I, T, F, Fut> Pooled<'env, Y, I, T, F, Fut>
where
    I: Input,
    T: Outcome<I>,
    F: FnOnce(Handle<'env, 'env, Y, I>) -> Fut,
    Fut: Future<Output = T>,
{
    const VTABLE: &'static VTable = &Core::<'env, Y, I, T, F, Fut>::vtable_with(Self::free);

    #[inline]
    pub(crate) fn place(start: F, pool: &Pool) -> NonNull<Self> {
        let layout = Layout::new::<Self>();
        let Some(block) = NonNull::new(pool.free.take(layout).cast::<Self>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the block was taken for this layout.
        unsafe {
            let this = block.as_ptr();
            let core = NonNull::new_unchecked((&raw mut (*this).core).cast());
            Core::write(core, start, Self::VTABLE);
            (&raw mut (*this).pool).write(ManuallyDrop::new(Rc::clone(&pool.free)));
        }
        block
    }

    unsafe fn free(this: NonNull<Head>) {
        /// Gives the block back, also when a destructor panics.
        struct PutBack(Rc<FreeLists>, *mut u8, Layout);
        impl Drop for PutBack {
            fn drop(&mut self) {
                // SAFETY: the block was taken from these lists with this layout, and its content has been dropped.
                unsafe { self.0.put(self.1, self.2) }
            }
        }
        let this = this.cast::<Self>();
        // SAFETY: the frame was placed by `place` at the beginning of its `Pooled`, and is freed once.
        unsafe {
            let pool = ManuallyDrop::take(&mut (*this.as_ptr()).pool);
            let _back = PutBack(pool, this.as_ptr().cast(), Layout::new::<Self>());
            ManuallyDrop::drop(&mut (*this.as_ptr()).core);
        }
    }
}
