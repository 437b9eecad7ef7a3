"""npufa under the names of torch_npu, for scripts that stay as they are.

    import npufa.compat

    npufa.compat.install()                      # torch_npu.npu_fusion_attention(...) now runs npufa's operator
    npufa.compat.uninstall()                    # and now torch_npu's own again

    with npufa.compat.routed():                 # the same for a block
        ...

Without touching a script at all: `python -m npufa run script.py`.

Routed is every operator that torch_npu and npufa both have: `torch_npu.X` and `torch.ops.npu.X` with all overloads
(`.default`, `.out`), see `routes()`. Two mechanisms work together:

1. The names `torch_npu.X` and `torch.ops.npu.X` are bound to npufa's operators themselves, not to functions around
   them. So autograd, autocast, meta and fake tensors, CPU tensors, `torch.compile` and `torch.export` see
   `torch.ops.npufa.X`, as if the script had been written for npufa, and no call gets slower. This reaches everything
   that looks the name up when it calls, torch_npu's own Python modules included.
2. A script may hold an operator from before: `from torch_npu import npu_fusion_attention`, or C++ code that calls
   `npu::npu_fusion_attention`. No change of names reaches those, so the dispatcher's kernels of `npu::X` are overridden
   to call `npufa::X`. That alone would not do: each call would pass through Python, and in `torch.inference_mode`,
   where no autograd kernel comes first, modes of torch (fake tensors, tracing) would meet `npu::X`.
"""

from ._routes import install, installed, routed, routes, uninstall

__all__ = ["install", "installed", "routed", "routes", "uninstall"]
