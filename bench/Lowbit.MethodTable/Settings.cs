using System.Collections.Immutable;

namespace Lowbit.MethodTable;

/// <summary>One row of the table.</summary>
/// <param name="Name">What the row is called.</param>
/// <param name="Options">Options of <c>lowbit quantize</c>.</param>
/// <param name="Calibrated">Whether the method looks at calibration text.</param>
internal sealed record Setting(string Name, string Options, bool Calibrated = true);

/// <summary>The rows: every method at its usual settings, families together.</summary>
internal static class Settings
{
    public static ImmutableArray<Setting> All { get; } =
    [
        new("RTN, 4 bits, groups of 64", "--method rtn --bits 4 --group-size 64", Calibrated: false),
        new("RTN, 3 bits, groups of 64", "--method rtn --bits 3 --group-size 64", Calibrated: false),
        new("RTN, 2 bits, groups of 64", "--method rtn --bits 2 --group-size 64", Calibrated: false),
        new("HQQ, 4 bits, groups of 64", "--method hqq --bits 4 --group-size 64", Calibrated: false),
        new("HQQ, 3 bits, groups of 64", "--method hqq --bits 3 --group-size 64", Calibrated: false),
        new("NF4", "--method nf4", Calibrated: false),
        new("FP4", "--method fp4", Calibrated: false),
        new("SF4", "--method sf4", Calibrated: false),
        new("FP6", "--method fp6", Calibrated: false),
        new("FP8", "--method fp8", Calibrated: false),
        new("MXFP4", "--method mxfp4", Calibrated: false),
        new("MXFP6", "--method mxfp6", Calibrated: false),
        new("MXFP8", "--method mxfp8", Calibrated: false),
        new("MXINT8", "--method mxint8", Calibrated: false),
        new("NVFP4", "--method nvfp4", Calibrated: false),
        new("ternary, rounded", "--method ternary", Calibrated: false),
        new("binary, rounded", "--method binary", Calibrated: false),
        new("GPTQ, 4 bits, groups of 64", "--method gptq --bits 4 --group-size 64"),
        new("GPTQ, 4 bits, groups of 128", "--method gptq --bits 4 --group-size 128"),
        new("GPTQ, 3 bits, groups of 64", "--method gptq --bits 3 --group-size 64"),
        new("GPTQ, 2 bits, groups of 64", "--method gptq --bits 2 --group-size 64"),
        new("GPTQ, 3 bits, groups of 64, activation order", "--method gptq --bits 3 --group-size 64 --activation-order"),
        new("GPTQ, 4 bits, rows", "--method gptq --bits 4"),
        new("GPTQ, 3 bits, rows", "--method gptq --bits 3"),
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
        new("PB-RTN, 10 % salient by magnitude", "--method pb-rtn --salient 0.1", Calibrated: false),
        new("PB-GPTQ, 5 % salient by Hessian", "--method pb-gptq --salient 0.05 --saliency hessian"),
        new("PB-GPTQ, 10 % salient by magnitude", "--method pb-gptq --salient 0.1"),
        new("PB-GPTQ, 10 % salient by Hessian", "--method pb-gptq --salient 0.1 --saliency hessian"),
        new("PB-GPTQ, 20 % salient by Hessian", "--method pb-gptq --salient 0.2 --saliency hessian"),
        new("PB-GPTQ, 30 % salient by Hessian", "--method pb-gptq --salient 0.3 --saliency hessian"),
        new("PB-GPTQ, 50 % salient by Hessian", "--method pb-gptq --salient 0.5 --saliency hessian"),
        new("BiLLM by Hessian", "--method billm --saliency hessian"),
        new("ARB", "--method arb"),
        new("ARB-X", "--method arb-x"),
        new("ARB-RC", "--method arb-rc"),
        new("HBLLM, rows", "--method hbllm-row"),
        new("HBLLM, columns", "--method hbllm-col"),
        new("PT2-LLM", "--method pt2-llm"),
        new("DB-LLM", "--method db-llm", Calibrated: false),
        new("Waterline, 2 bits", "--method waterline --bits 2"),
        new("Waterline, 2.2 bits", "--method waterline --bits 2.2"),
        new("Waterline, 2.5 bits", "--method waterline --bits 2.5"),
        new("Waterline, 2.7 bits", "--method waterline --bits 2.7"),
        new("Waterline, 3 bits", "--method waterline --bits 3"),
        new("Waterline, 3.3 bits", "--method waterline --bits 3.3"),
        new("Waterline, 3.6 bits", "--method waterline --bits 3.6"),
        new("Waterline, 4 bits", "--method waterline --bits 4"),
        new("GPTQ, 4 bits on average", "--method gptq --target-bits 4"),
        new("GPTQ, 3 bits on average", "--method gptq --target-bits 3"),
        new("GPTQ, 2.5 bits on average", "--method gptq --target-bits 2.5"),
        new("PB-GPTQ, 2.5 bits on average", "--method pb-gptq --saliency hessian --target-bits 2.5"),
        new("Waterline, 4 bits on average", "--method waterline --target-bits 4"),
        new("Waterline, 3 bits on average", "--method waterline --target-bits 3"),
        new("Waterline, 2.5 bits on average", "--method waterline --target-bits 2.5"),
    ];
}
