using System.Collections.Immutable;

namespace Lowbit.MethodTable;

/// <summary>One row of the table.</summary>
/// <param name="Name">What the row is called.</param>
/// <param name="Options">Options of <c>lowbit quantize</c>.</param>
internal sealed record Setting(string Name, string Options);

/// <summary>The rows: every method at its usual settings, families together.</summary>
internal static class Settings
{
    public static ImmutableArray<Setting> All { get; } =
    [
        new("RTN, 4 bits, groups of 64", "--method rtn --bits 4 --group-size 64"),
        new("RTN, 3 bits, groups of 64", "--method rtn --bits 3 --group-size 64"),
        new("RTN, 2 bits, groups of 64", "--method rtn --bits 2 --group-size 64"),
        new("HQQ, 4 bits, groups of 64", "--method hqq --bits 4 --group-size 64"),
        new("HQQ, 3 bits, groups of 64", "--method hqq --bits 3 --group-size 64"),
        new("NF4, blocks of 64", "--method nf4"),
        new("FP4, blocks of 64", "--method fp4"),
        new("GPTQ, 4 bits, groups of 64", "--method gptq --bits 4 --group-size 64"),
        new("GPTQ, 3 bits, groups of 64", "--method gptq --bits 3 --group-size 64"),
        new("GPTQ, 2 bits, groups of 64", "--method gptq --bits 2 --group-size 64"),
        new("GPTQ, 3 bits, groups of 64, activation order", "--method gptq --bits 3 --group-size 64 --activation-order"),
        new("PB-RTN, 10 % salient by magnitude", "--method pb-rtn --salient 0.1"),
        new("PB-GPTQ, 5 % salient by Hessian", "--method pb-gptq --salient 0.05 --saliency hessian"),
        new("PB-GPTQ, 10 % salient by magnitude", "--method pb-gptq --salient 0.1"),
        new("PB-GPTQ, 10 % salient by Hessian", "--method pb-gptq --salient 0.1 --saliency hessian"),
        new("PB-GPTQ, 20 % salient by Hessian", "--method pb-gptq --salient 0.2 --saliency hessian"),
        new("PB-GPTQ, 50 % salient by Hessian", "--method pb-gptq --salient 0.5 --saliency hessian"),
    ];
}
