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
        new("NF4", "--method nf4"),
        new("FP4", "--method fp4"),
        new("SF4", "--method sf4"),
        new("FP6", "--method fp6"),
        new("FP8", "--method fp8"),
        new("MXFP4", "--method mxfp4"),
        new("MXFP6", "--method mxfp6"),
        new("MXFP8", "--method mxfp8"),
        new("MXINT8", "--method mxint8"),
        new("NVFP4", "--method nvfp4"),
        new("ternary, rounded", "--method ternary"),
        new("binary, rounded", "--method binary"),
        new("GPTQ, 4 bits, groups of 64", "--method gptq --bits 4 --group-size 64"),
        new("GPTQ, 3 bits, groups of 64", "--method gptq --bits 3 --group-size 64"),
        new("GPTQ, 2 bits, groups of 64", "--method gptq --bits 2 --group-size 64"),
        new("GPTQ, 3 bits, groups of 64, activation order", "--method gptq --bits 3 --group-size 64 --activation-order"),
        new("GPTAQ, 3 bits, groups of 64", "--method gptaq --bits 3 --group-size 64"),
        new("AWQ, 4 bits, groups of 64", "--method awq --bits 4 --group-size 64"),
        new("AWQ, 3 bits, groups of 64", "--method awq --bits 3 --group-size 64"),
        new("SmoothQuant, 8 bits", "--method smoothquant"),
        new("OmniQuant, 3 bits, groups of 64", "--method omniquant --bits 3 --group-size 64"),
        new("SignRound, 3 bits, groups of 64", "--method signround --bits 3 --group-size 64"),
        new("LLM.int8()", "--method llm-int8"),
        new("OWQ, 3 bits", "--method owq --bits 3"),
        new("SpQR, 3 bits", "--method spqr --bits 3"),
        new("SqueezeLLM, 3 bits", "--method squeezellm --bits 3"),
        new("RTN, 3 bits, groups of 64, repaired, rank 8", "--method rtn --bits 3 --group-size 64 --repair eigen --repair-rank 8"),
        new("PB-RTN, 10 % salient by magnitude", "--method pb-rtn --salient 0.1"),
        new("PB-GPTQ, 5 % salient by Hessian", "--method pb-gptq --salient 0.05 --saliency hessian"),
        new("PB-GPTQ, 10 % salient by magnitude", "--method pb-gptq --salient 0.1"),
        new("PB-GPTQ, 10 % salient by Hessian", "--method pb-gptq --salient 0.1 --saliency hessian"),
        new("PB-GPTQ, 20 % salient by Hessian", "--method pb-gptq --salient 0.2 --saliency hessian"),
        new("PB-GPTQ, 50 % salient by Hessian", "--method pb-gptq --salient 0.5 --saliency hessian"),
        new("BiLLM by Hessian", "--method billm --saliency hessian"),
        new("ARB", "--method arb"),
        new("ARB-X", "--method arb-x"),
        new("ARB-RC", "--method arb-rc"),
        new("HBLLM, rows", "--method hbllm-row"),
        new("HBLLM, columns", "--method hbllm-col"),
        new("PT2-LLM", "--method pt2-llm"),
        new("DB-LLM", "--method db-llm"),
        new("Waterline, 2 bits", "--method waterline --bits 2"),
        new("Waterline, 2.2 bits", "--method waterline --bits 2.2"),
        new("Waterline, 2.7 bits", "--method waterline --bits 2.7"),
        new("Waterline, 3.3 bits", "--method waterline --bits 3.3"),
        new("Waterline, 4 bits", "--method waterline --bits 4"),
    ];
}
