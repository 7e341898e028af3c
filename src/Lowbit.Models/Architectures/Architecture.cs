using System.Collections.Immutable;
using System.Globalization;
using System.IO;
using Lowbit.Core;
using Lowbit.Formats;

namespace Lowbit.Models.Architectures;

/// <summary>The registry of families: from what a file says of itself to a description. A new family is one line here and one file beside.</summary>
internal static class Architecture
{
    private const string Supported = "llama, mistral, qwen2, qwen3, smollm3, bitnet, opt, gpt2, gpt_neox";

    public static ModelConfig Describe(Checkpoint checkpoint)
    {
        ModelConfig config = checkpoint.Kind switch
        {
            CheckpointKind.Gguf => GgufModels.Describe(checkpoint),
            CheckpointKind.Llama2C => Llama2CModels.Describe(checkpoint),
            _ => HuggingFace(checkpoint),
        };
        return Check(checkpoint.Path, config);
    }

    private static ModelConfig HuggingFace(Checkpoint checkpoint)
    {
        ConfigReader reader = new(ConfigPath(checkpoint), checkpoint.Config!.Value);
        ModelConfig config = Describe(reader, (usual, bare, probe) => Prefix(checkpoint, usual, bare, probe));
        return WithTokens(config, reader, Generation(checkpoint));
    }

    /// <summary>The description of a model that has no tensors yet.</summary>
    /// <param name="path">A <c>config.json</c>.</param>
    /// <exception cref="LowbitException">The file is not there, damaged, or describes something that is not supported.</exception>
    internal static ModelConfig Read(string path)
    {
        ConfigReader reader = new(path, JsonFile.ReadObject(path));
        return Check(path, WithTokens(Describe(reader, (usual, _, _) => usual), reader, generation: null));
    }

    // What generation_config.json says of the end goes before what config.json says.
    private static ModelConfig WithTokens(ModelConfig config, ConfigReader reader, ConfigReader? generation)
    {
        ImmutableArray<int> begin = reader.Integers("bos_token_id"), end = reader.Integers("eos_token_id");
        if (generation is not null && generation.Has("eos_token_id")) end = generation.Integers("eos_token_id");
        return config with { EndIds = end, BeginId = begin.IsEmpty ? null : begin[0] };
    }

    // The prefix is asked for by the usual one, the one of files saved from the bare model, and a tensor that tells them apart.
    private static ModelConfig Describe(ConfigReader reader, System.Func<string, string, string, string> prefix)
    {
        string family = reader.Text("model_type");
        return family switch
        {
            "llama" or "mistral" or "qwen2" or "qwen3" or "smollm3" or "bitnet" => Llama.Describe(reader),
            "opt" => Opt.Describe(reader, prefix("model.decoder.", "decoder.", "embed_tokens.weight")),
            "gpt2" => Gpt2.Describe(reader, prefix("transformer.", "", "wte.weight")),
            "gpt_neox" => GptNeoX.Describe(reader),
            _ => throw Unknown(reader.Path, family),
        };
    }

    /// <summary>Where the description of a Hugging Face folder stands.</summary>
    internal static string ConfigPath(Checkpoint checkpoint) =>
        Path.Combine(Directory.Exists(checkpoint.Path) ? checkpoint.Path : Path.GetDirectoryName(Path.GetFullPath(checkpoint.Path))!, "config.json");

    internal static LowbitFormatException Unknown(string path, string family) =>
        new(path, $"the architecture \"{family}\" is not supported; expected one of {Supported}.");

    // Files saved from the bare model lack the outer prefix of its language-model class.
    private static string Prefix(Checkpoint checkpoint, string usual, string bare, string probe) =>
        checkpoint.Tensors.ContainsKey(bare + probe) ? bare : usual;

    private static ConfigReader? Generation(Checkpoint checkpoint)
    {
        string path = Path.Combine(Path.GetDirectoryName(ConfigPath(checkpoint))!, "generation_config.json");
        return File.Exists(path) ? new ConfigReader(path, JsonFile.ReadObject(path)) : null;
    }

    private static ModelConfig Check(string path, ModelConfig config)
    {
        void Require(bool holds, string problem)
        {
            if (!holds) throw new LowbitFormatException(path, problem);
        }
        Require(config.Heads % config.KvHeads == 0, $"{config.Heads} query heads cannot share {config.KvHeads} key-value heads evenly.");
        Require(config.HeadDim > 0 && config.HeadDim <= 4096, $"heads of {config.HeadDim} features; expected 1 to 4096.");
        Require(config.Fused == FusedOrder.Separate || config.Heads == config.KvHeads, "a fused query-key-value projection with fewer key-value heads than query heads is not supported.");
        Require(!config.ParallelResidual || config.QueryDim == config.ModelDim, $"{config.Heads} heads of {config.HeadDim} features are {config.QueryDim} in all, but the model has {config.ModelDim}; attention beside the feed-forward layer needs as many.");
        if (config.Rope is { } rope) CheckRope(rope);
        Require(config.BlockCount <= 10_000, $"{config.BlockCount} blocks; expected at most 10000.");
        Require((long)config.Heads * config.HeadDim <= int.MaxValue / 4 && (long)config.FfnDim <= int.MaxValue / 4 && (long)config.ModelDim <= int.MaxValue / 4, "the model's dimensions are too large to be real.");
        return config;

        void CheckRope(RopeConfig rope)
        {
            Require(rope.Dim >= 2 && rope.Dim <= config.HeadDim && rope.Dim % 2 == 0 && Positive(rope.Theta),
                string.Create(CultureInfo.InvariantCulture, $"rotary embedding of {rope.Dim} features with base {rope.Theta}; expected an even number from 2 to the head's {config.HeadDim} and a positive base."));
            if (rope.Scaling == RopeScaling.None) return;
            Require(Positive(rope.Factor), string.Create(CultureInfo.InvariantCulture, $"rope scaling by a factor of {rope.Factor}; expected a positive number."));
            if (rope.Scaling == RopeScaling.Linear) return;
            Require(rope.OriginalContext > 0, $"rope scaling from a context of {rope.OriginalContext} tokens; expected at least 1.");
            Require(rope.Scaling != RopeScaling.Llama3 || Positive(rope.LowFrequencyFactor) && Positive(rope.HighFrequencyFactor) && rope.HighFrequencyFactor > rope.LowFrequencyFactor,
                string.Create(CultureInfo.InvariantCulture, $"rope scaling with low_freq_factor {rope.LowFrequencyFactor} and high_freq_factor {rope.HighFrequencyFactor}; expected positive numbers, the second the larger one."));
            Require(rope.Scaling != RopeScaling.Yarn || Positive(rope.BetaFast) && Positive(rope.BetaSlow) && Positive(rope.Amplitude),
                string.Create(CultureInfo.InvariantCulture, $"rope scaling with beta_fast {rope.BetaFast}, beta_slow {rope.BetaSlow} and an amplitude of {rope.Amplitude}; expected positive numbers."));
        }

        static bool Positive(float value) => value > 0 && float.IsFinite(value);
    }
}
