using System.Text.Json.Nodes;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What <c>quantization_config</c> tells of how the folder was made.</summary>
internal sealed record QuantizationRecord(QuantizeOptions Options, CalibrationSet? Calibration, double NominalBits)
{
    /// <summary>The layout's version; readers refuse others.</summary>
    public const int Version = 1;

    public JsonObject ToJson(JsonObject tensors)
    {
        JsonObject json = new()
        {
            ["quant_method"] = "lowbit",
            ["version"] = Version,
            ["method"] = Options.Method,
            ["options"] = Options.MethodOptions.ToString(),
            ["nominal_bits_per_weight"] = NominalBits,
        };
        if (Options.Recipe is not null) json["recipe"] = Options.Recipe.ToJson();
        if (Calibration is not null)
        {
            json["calibration"] = new JsonObject
            {
                ["windows"] = Calibration.Windows.Count,
                ["context"] = Calibration.Context,
                ["sha256"] = Calibration.Fingerprint,
            };
        }
        json["tensors"] = tensors;
        return json;
    }
}
