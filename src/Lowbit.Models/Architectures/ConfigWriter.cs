using System.Text.Json.Nodes;

namespace Lowbit.Models.Architectures;

/// <summary>Writes the description of a Llama-family model that came from a GGUF or llama2.c file as a <c>config.json</c>.</summary>
public static class ConfigWriter
{
    /// <summary>The configuration in the form of transformers 5, and <c>rope_interleaved</c> where heads rotate by neighbours.</summary>
    public static JsonObject ToJson(ModelConfig config)
    {
        JsonObject json = new()
        {
            ["model_type"] = config.ModelType,
            ["vocab_size"] = config.VocabularySize,
            ["hidden_size"] = config.ModelDim,
            ["intermediate_size"] = config.FfnDim,
            ["num_hidden_layers"] = config.BlockCount,
            ["num_attention_heads"] = config.Heads,
            ["num_key_value_heads"] = config.KvHeads,
            ["head_dim"] = config.HeadDim,
            ["hidden_act"] = "silu",
            ["max_position_embeddings"] = config.ContextLength,
            ["rms_norm_eps"] = config.NormEpsilon,
            ["tie_word_embeddings"] = config.TiedEmbedding,
            ["rope_parameters"] = Rope(config.Rope!),
            ["rope_interleaved"] = config.Rope!.Interleaved,
            ["bos_token_id"] = config.BeginId,
            ["eos_token_id"] = new JsonArray([.. System.Linq.Enumerable.Select(config.EndIds, id => (JsonNode)id)]),
        };
        if (config.Rope.Dim != config.HeadDim) json["partial_rotary_factor"] = (double)config.Rope.Dim / config.HeadDim;
        if (!config.BlocksWithoutRope.IsEmpty)
        {
            JsonArray marks = [];
            for (int i = 0; i < config.BlockCount; i++) marks.Add((JsonNode)(config.BlocksWithoutRope.Contains(i) ? 0 : 1));
            json["no_rope_layers"] = marks;
        }
        return json;
    }

    private static JsonObject Rope(RopeConfig rope)
    {
        JsonObject json = new()
        {
            ["rope_type"] = rope.Scaling switch
            {
                RopeScaling.Linear => "linear",
                RopeScaling.Llama3 => "llama3",
                RopeScaling.Yarn => "yarn",
                _ => "default",
            },
            ["rope_theta"] = rope.Theta,
        };
        if (rope.Scaling == RopeScaling.None) return json;
        json["factor"] = rope.Factor;
        json["original_max_position_embeddings"] = rope.OriginalContext;
        if (rope.Scaling == RopeScaling.Llama3)
        {
            json["low_freq_factor"] = rope.LowFrequencyFactor;
            json["high_freq_factor"] = rope.HighFrequencyFactor;
        }
        if (rope.Scaling == RopeScaling.Yarn)
        {
            json["beta_fast"] = rope.BetaFast;
            json["beta_slow"] = rope.BetaSlow;
            if (rope.AttentionFactor is { } factor) json["attention_factor"] = factor;
        }
        return json;
    }
}
