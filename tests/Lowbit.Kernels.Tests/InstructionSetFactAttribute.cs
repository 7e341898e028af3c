using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Xunit;

namespace Lowbit.Kernels.Tests;

/// <summary>A fact about a kernel for one instruction set, skipped visibly where the machine or the environment lacks it.</summary>
public sealed class InstructionSetFactAttribute : FactAttribute
{
    public InstructionSetFactAttribute(string instructionSet)
    {
        bool supported = instructionSet switch
        {
            nameof(Fma) => Fma.IsSupported,
            nameof(Avx2) => Avx2.IsSupported,
            nameof(Avx512F) => Vector512.IsHardwareAccelerated && Avx512F.IsSupported,
            nameof(Avx512Vbmi2) => Vector512.IsHardwareAccelerated && Avx512Vbmi2.IsSupported,
            _ => false,
        };
        Skip = supported ? null : $"this machine has no {instructionSet}";
    }
}
